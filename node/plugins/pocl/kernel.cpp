// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/pocl/kernel.hpp"

#include <fstream>
#include <sstream>

namespace consort::pocl {
namespace {

error failed(const char* code, const std::string& what, cl_int status) {
  const bool model = std::string_view(code) == "bad_model";
  return {model ? recovery::refuse : recovery::retry_elsewhere, code,
          what + " (OpenCL says " + std::to_string(status) + ")"};
}

/// The first device of the platform of that name; an ICD loader may know several.
cl_device_id find_device() {
  cl_uint count = 0;
  clGetPlatformIDs(0, nullptr, &count);
  std::vector<cl_platform_id> platforms(count);
  clGetPlatformIDs(count, platforms.data(), nullptr);
  for (auto* const platform : platforms) {
    std::array<char, 256> name{};
    clGetPlatformInfo(platform, CL_PLATFORM_NAME, name.size() - 1, name.data(), nullptr);
    cl_device_id device = nullptr;
    if (std::string_view(name.data()).find("Portable Computing Language") != std::string_view::npos
        && clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr) == CL_SUCCESS)
      return device;
  }
  return nullptr;
}

} // namespace

result<std::unique_ptr<kernel>> kernel::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf(); // An iterator would throw where a read fails.
  const auto read = text.view();
  const std::vector<unsigned char> binary(read.begin(), read.end());
  if (binary.empty() || binary.size() > binary_bytes_max)
    return error{recovery::refuse, "bad_model", path + ": no program, or one that is too large"};
  std::unique_ptr<kernel> made(new kernel);
  if (auto opened = made->open_device(); !opened)
    return opened.failure();
  if (auto opened = made->open_program(binary); !opened)
    return error{opened.failure().action, opened.failure().code,
                 path + ": " + opened.failure().message};
  return made;
}

result<done> kernel::open_device() {
  device_ = find_device();
  if (device_ == nullptr)
    return error{recovery::retry_elsewhere, "no_device", "OpenCL shows no device of PoCL here"};
  cl_int status = CL_SUCCESS;
  context_ = clCreateContext(nullptr, 1, &device_, nullptr, nullptr, &status);
  if (status == CL_SUCCESS)
    queue_ = clCreateCommandQueue(context_, device_, 0, &status);
  if (status == CL_SUCCESS)
    text_ = clCreateBuffer(context_, CL_MEM_READ_ONLY, context_bytes_max, nullptr, &status);
  if (status == CL_SUCCESS)
    scores_
        = clCreateBuffer(context_, CL_MEM_WRITE_ONLY, symbols * sizeof(float), nullptr, &status);
  return status == CL_SUCCESS ? result<done>(done{})
                              : failed("no_memory", "the device cannot be used", status);
}

result<done> kernel::open_program(const std::vector<unsigned char>& binary) {
  const auto* bytes = binary.data();
  const auto size = binary.size();
  cl_int status = CL_SUCCESS;
  cl_int of_device = CL_SUCCESS;
  program_ = clCreateProgramWithBinary(context_, 1, &device_, &size, &bytes, &of_device, &status);
  if (status != CL_SUCCESS)
    return failed("bad_model", "no program for this device", status);
  status = clBuildProgram(program_, 1, &device_, "", nullptr, nullptr);
  if (status != CL_SUCCESS)
    return failed("bad_model", "a program that does not link", status);
  kernel_ = clCreateKernel(program_, "next_byte", &status);
  if (status != CL_SUCCESS)
    return failed("bad_model", "a program without a kernel `next_byte`", status);
  return done{};
}

kernel::~kernel() {
  if (kernel_ != nullptr)
    clReleaseKernel(kernel_);
  if (program_ != nullptr)
    clReleaseProgram(program_);
  for (auto* const buffer : {text_, scores_})
    if (buffer != nullptr)
      clReleaseMemObject(buffer);
  if (queue_ != nullptr)
    clReleaseCommandQueue(queue_);
  if (context_ != nullptr)
    clReleaseContext(context_);
}

result<std::array<float, symbols>> kernel::score(std::string_view text) {
  std::array<float, symbols> scores{};
  const auto length = static_cast<cl_uint>(text.size());
  cl_int status = clSetKernelArg(kernel_, 0, sizeof text_, &text_);
  if (status == CL_SUCCESS)
    status = clSetKernelArg(kernel_, 1, sizeof length, &length);
  if (status == CL_SUCCESS)
    status = clSetKernelArg(kernel_, 2, sizeof scores_, &scores_);
  if (status == CL_SUCCESS && length > 0)
    status
        = clEnqueueWriteBuffer(queue_, text_, CL_TRUE, 0, length, text.data(), 0, nullptr, nullptr);
  if (status == CL_SUCCESS)
    status = clEnqueueNDRangeKernel(queue_, kernel_, 1, nullptr, &symbols, nullptr, 0, nullptr,
                                    nullptr);
  if (status == CL_SUCCESS)
    status = clEnqueueReadBuffer(queue_, scores_, CL_TRUE, 0, symbols * sizeof(float),
                                 scores.data(), 0, nullptr, nullptr);
  if (status != CL_SUCCESS)
    return failed("engine_failed", "the kernel failed", status);
  return scores;
}

} // namespace consort::pocl
