// SPDX-License-Identifier: Apache-2.0
#include "scenarios/workloads/line_source.hpp"

#include <lzma.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

namespace consort::sim {

namespace {

constexpr std::string_view xz_magic("\xFD"
                                    "7zXZ\0",
                                    6);

/// Of what else is compressed now and then: how it begins.
struct other_format {
  std::string_view magic, name, undo;
};
constexpr std::array<other_format, 4> other_formats{{{"\x1F\x8B", "gzip", "gunzip"},
                                                     {"\x28\xB5\x2F\xFD", "zstd", "unzstd"},
                                                     {"BZh", "bzip2", "bunzip2"},
                                                     {"PK\x03\x04", "zip", "unzip"}}};

/// The last bytes of a file, up to `most`; leaves the place where it is. Nothing of what is no
/// file, such as a pipe: what is wrong with its end is found out there.
std::string end_of(std::FILE* handle, long most) {
  const auto place = std::ftell(handle);
  if (place < 0 || std::fseek(handle, 0, SEEK_END) != 0)
    return {};
  std::string end(static_cast<std::size_t>(std::min(std::ftell(handle), most)), '\0');
  const bool there = std::fseek(handle, -static_cast<long>(end.size()), SEEK_END) == 0;
  end.resize(there ? std::fread(end.data(), 1, end.size(), handle) : 0);
  std::fseek(handle, place, SEEK_SET);
  return end;
}

/// What is wrong with the end of a file of xz data, without reading it all; empty when nothing is.
/// A whole one ends with the footer of its last stream and zeros.
std::string wrong_end(std::string_view end) {
  if (end.empty())
    return {};
  for (auto size = end.find_last_not_of('\0') + 1; size >= LZMA_STREAM_HEADER_SIZE; --size) {
    lzma_stream_flags ignored{};
    const auto footer = end.substr(size - LZMA_STREAM_HEADER_SIZE, LZMA_STREAM_HEADER_SIZE);
    if (lzma_stream_footer_decode(&ignored, reinterpret_cast<const std::uint8_t*>(footer.data()))
        != LZMA_OK)
      continue;
    auto rest = end.substr(size);
    rest.remove_prefix(std::min(rest.find_first_not_of('\0'), rest.size()));
    if (rest.empty())
      return {};
    if (rest.starts_with(xz_magic) || xz_magic.starts_with(rest))
      break; // The next stream, which is not whole.
    return "what follows its xz data is none (" + std::to_string(rest.size())
           + " bytes): cut it off, or fetch the file again";
  }
  // Whole by the magic of its last footer: what is wrong is further inside, as the decoder will
  // say.
  if (end.substr(0, end.find_last_not_of('\0') + 1).ends_with("YZ"))
    return {};
  return "the xz stream is truncated: fetch the file again";
}

} // namespace

/// The open file, and the decoder in front of it.
struct line_source::file {
  std::FILE* handle = nullptr;
  bool compressed = false;
  bool ended = false; ///< The file, or the xz stream.
  lzma_stream decoder = LZMA_STREAM_INIT;
  std::array<std::uint8_t, buffer_bytes> input{};

  ~file() {
    if (compressed)
      lzma_end(&decoder);
    if (handle)
      std::fclose(handle);
  }
};

line_source::line_source(std::string path)
    : path_(std::move(path)), file_(std::make_unique<file>()) {}
line_source::line_source(line_source&&) noexcept = default;
line_source& line_source::operator=(line_source&&) noexcept = default;
line_source::~line_source() = default;

result<line_source> line_source::open(const std::string& path) {
  std::error_code unknown;
  if (std::filesystem::is_directory(path, unknown))
    return error{recovery::refuse, "usage", path + " is a folder: name a file in it"};
  line_source made(path);
  auto& source = *made.file_;
  source.handle = std::fopen(path.c_str(), "rb");
  if (!source.handle)
    return error{recovery::refuse, "usage",
                 "cannot read " + path + ": check the path and its permissions"};
  const auto size = std::fread(source.input.data(), 1, xz_magic.size(), source.handle);
  const std::string_view start(reinterpret_cast<const char*>(source.input.data()), size);
  source.compressed = start == xz_magic;
  for (const auto& [magic, name, undo] : other_formats)
    if (start.starts_with(magic))
      return error{recovery::refuse, "usage",
                   path + ": is compressed with " + std::string(name) + ", which is not read: `"
                       + std::string(undo) + "` it first, or compress it with `xz`"};
  if (!source.compressed && path.ends_with(".xz"))
    return error{recovery::refuse, "usage",
                 path + ": is not xz data, or its beginning is damaged: fetch the file again"};
  if (!source.compressed) {
    made.text_ = start;
    return made;
  }
  if (const auto wrong = wrong_end(end_of(source.handle, buffer_bytes)); !wrong.empty())
    return error{recovery::refuse, "usage", path + ": " + wrong};
  if (lzma_stream_decoder(&source.decoder, xz_memory_max, LZMA_CONCATENATED) != LZMA_OK)
    return error{recovery::refuse, "usage", "cannot decompress " + path + ": not enough memory"};
  source.decoder.next_in = source.input.data();
  source.decoder.avail_in = size;
  return made;
}

result<bool> line_source::fill() {
  auto& source = *file_;
  if (source.ended)
    return false;
  const auto held = text_.size();
  text_.resize(held + buffer_bytes);
  auto* out = text_.data() + held;
  if (!source.compressed) {
    const auto size = std::fread(out, 1, buffer_bytes, source.handle);
    text_.resize(held + size);
    if (std::ferror(source.handle) != 0)
      return wrong("", "cannot be read further: check the disk");
    source.ended = size == 0;
    return size > 0;
  }
  auto& decoder = source.decoder;
  decoder.next_out = reinterpret_cast<std::uint8_t*>(out);
  decoder.avail_out = buffer_bytes;
  auto status = LZMA_OK;
  while (status == LZMA_OK && decoder.avail_out > 0) {
    if (decoder.avail_in == 0 && std::feof(source.handle) == 0) {
      decoder.next_in = source.input.data();
      decoder.avail_in = std::fread(source.input.data(), 1, source.input.size(), source.handle);
    }
    const bool last = decoder.avail_in == 0 && std::feof(source.handle) != 0;
    status = lzma_code(&decoder, last ? LZMA_FINISH : LZMA_RUN);
  }
  text_.resize(held + buffer_bytes - decoder.avail_out);
  if (status == LZMA_BUF_ERROR)
    return wrong("", "the xz stream is truncated: fetch the file again");
  if (status == LZMA_MEMLIMIT_ERROR)
    return wrong("", "the xz stream takes more than " + std::to_string(xz_memory_max)
                         + " bytes to decompress: compress it with `xz -6`");
  if (status != LZMA_OK && status != LZMA_STREAM_END)
    return wrong("", "the xz stream is damaged: fetch the file again");
  source.ended = status == LZMA_STREAM_END;
  return text_.size() > held;
}

result<bool> line_source::next(std::string& line) {
  for (std::size_t searched = from_;;) {
    const auto end = text_.find('\n', searched);
    if (end != std::string::npos) {
      line.assign(text_, from_, end - from_);
      from_ = end + 1;
      break;
    }
    // Only what was not handed out is kept, so the buffer stays small.
    text_.erase(0, from_);
    from_ = 0;
    searched = text_.size();
    ++number_; // For errors: they are about the line that is being read.
    if (text_.size() > line_bytes_max)
      return wrong("", "is longer than " + std::to_string(line_bytes_max) + " bytes");
    const auto more = fill();
    if (!more)
      return more.failure();
    --number_;
    if (!*more) {
      if (text_.empty())
        return false;
      line = std::move(text_);
      text_.clear();
      break;
    }
  }
  ++number_;
  if (!line.empty() && line.back() == '\r')
    line.pop_back();
  return true;
}

error line_source::wrong(std::string_view field, const std::string& message) const {
  return {recovery::refuse, "usage",
          path_ + (number_ > 0 ? ":" + std::to_string(number_) : "") + ": "
              + (field.empty() ? "" : std::string(field) + ": ") + message};
}

} // namespace consort::sim
