// SPDX-License-Identifier: Apache-2.0
#include "messages/ticket_seal.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <limits>

namespace consort::messages {

namespace {

/// Fields one after another, numbers of 8 bytes and texts with their length before them, so that no
/// two tickets have the same bytes.
class canonical_bytes {
public:
  void number(std::uint64_t value) {
    for (unsigned byte = 0; byte < 8; ++byte)
      bytes_ += static_cast<char>((value >> (8 * byte)) & 0xFFU);
  }
  void text(const std::string& value) {
    number(value.size());
    bytes_ += value;
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

private:
  /// A seal is of this layout and of nothing else that may be sealed under the same key.
  std::string bytes_ = "consort ticket 1\n";
};

std::string canonical(const ticket& from) {
  canonical_bytes out;
  out.number(from.attempt.request.gateway.value);
  out.number(from.attempt.request.sequence);
  out.number(from.attempt.number);
  out.number(from.instance.value);
  out.number(from.endpoint_rank);
  out.text(from.device.value);
  out.text(from.node.value);
  out.number(from.node_incarnation.value);
  out.number(from.lease_epoch.value);
  out.text(from.data_address);
  out.text(from.model.value);
  out.text(from.variant.value);
  out.number(static_cast<std::uint64_t>(from.expires_at));
  return out.bytes();
}

} // namespace

std::string seal(const ticket& permission, std::string_view key) {
  if (key.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    return {};
  const std::string message = canonical(permission);
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned mac_bytes = 0;
  // OpenSSL takes a null key for "as before"; an empty one has an address.
  const char* key_bytes = key.empty() ? "" : key.data();
  if (HMAC(EVP_sha256(), key_bytes, static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), mac.data(),
           &mac_bytes)
      == nullptr)
    return {};
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  hex.reserve(std::size_t{2} * mac_bytes);
  for (unsigned at = 0; at < mac_bytes; ++at) {
    hex += digits[mac[at] >> 4U];
    hex += digits[mac[at] & 0xFU];
  }
  return hex;
}

bool ticket_sealed(const ticket& permission, std::string_view key) {
  const std::string expected = seal(permission, key);
  return !expected.empty() && expected.size() == permission.mac.size()
         && CRYPTO_memcmp(expected.data(), permission.mac.data(), expected.size()) == 0;
}

} // namespace consort::messages
