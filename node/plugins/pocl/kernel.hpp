// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One compiled kernel on one OpenCL device, run over a text that grows. Owns all that OpenCL hands
/// out. Not thread-safe.

#include "scheduler/result.hpp"

#include <CL/cl.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace consort::pocl {

inline constexpr std::size_t symbols = 256;                ///< A token is a byte.
inline constexpr std::size_t context_bytes_max = 4'096;    ///< Text of one request.
inline constexpr std::size_t binary_bytes_max = 64 << 20U; ///< A compiled program.

class kernel {
public:
  /// Loads a binary that `poclcc` made. Errors: `bad_model` (no such program, or of another
  /// target), `no_device`, `no_memory`.
  [[nodiscard]] static result<std::unique_ptr<kernel>> load(const std::string& path);
  ~kernel();
  kernel(const kernel&) = delete;
  kernel& operator=(const kernel&) = delete;

  /// How well each byte would follow. Requires: at most context_bytes_max of text. Errors:
  /// `engine_failed`.
  [[nodiscard]] result<std::array<float, symbols>> score(std::string_view text);

private:
  kernel() = default;
  [[nodiscard]] result<done> open_device();
  [[nodiscard]] result<done> open_program(const std::vector<unsigned char>& binary);

  cl_device_id device_ = nullptr;
  cl_context context_ = nullptr;
  cl_command_queue queue_ = nullptr;
  cl_program program_ = nullptr;
  cl_kernel kernel_ = nullptr;
  cl_mem text_ = nullptr, scores_ = nullptr;
};

} // namespace consort::pocl
