// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A cluster's certificates in a folder that goes away with the test.

#include "links/certificates.hpp"
#include "links/credentials.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace consort::links::testing_support {

class temporary_folder {
public:
  temporary_folder() {
    std::string pattern
        = (std::filesystem::temp_directory_path() / "consort-links-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

class test_cluster {
public:
  explicit test_cluster(const std::string& name = "lab") : authority_(*make_authority(name)) {}

  [[nodiscard]] const key_pair& authority() const { return authority_; }

  /// Where credentials of `name` lie; made on first use.
  std::filesystem::path folder_of(peer_role role, const std::string& name) {
    const auto folder = root_.path() / (std::string(name_of(role)) + "-" + name);
    if (!std::filesystem::exists(folder))
      renew(role, name);
    return folder;
  }
  /// New files with a new serial, as `consort cert` would write over old ones.
  void renew(peer_role role, const std::string& name) {
    const auto leaf = issue(authority_, {.role = role, .name = name});
    const auto written = write_leaf(root_.path() / (std::string(name_of(role)) + "-" + name),
                                    authority_.certificate, *leaf);
    EXPECT_TRUE(written) << written.failure().message;
  }
  std::shared_ptr<credentials> credentials_of(peer_role role, const std::string& name) {
    auto loaded = credentials::load(folder_of(role, name));
    EXPECT_TRUE(loaded) << loaded.failure().message;
    return *loaded;
  }

private:
  temporary_folder root_;
  key_pair authority_;
};

/// A TLS context from any pair, also one that credentials::load() would refuse. `leaf` may be null:
/// then it shows no certificate.
inline tls_context context_of(boost::asio::ssl::context::method method,
                              const std::string& trusted_pem, const key_pair* leaf) {
  auto context = std::make_shared<boost::asio::ssl::context>(method);
  context->add_certificate_authority(boost::asio::buffer(trusted_pem));
  context->set_verify_mode(boost::asio::ssl::verify_peer);
  if (leaf != nullptr) {
    context->use_certificate_chain(boost::asio::buffer(leaf->certificate));
    context->use_private_key(boost::asio::buffer(leaf->key), boost::asio::ssl::context::pem);
  }
  return context;
}

} // namespace consort::links::testing_support
