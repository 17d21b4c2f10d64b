// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Fatal errors (XID) of boards since their host booted, in a file that outlives consort-nvml: a
/// board that fell is not well because somebody listens anew. Owned by the list of boards; one
/// process per folder. After another boot the file tells of nothing, since that resets all boards.
/// A file above file_bytes_max, or damaged, is begun anew. That it cannot be written is said once,
/// on stderr.

#include <cstddef>
#include <map>
#include <set>
#include <string>

namespace consort::nvml {

using xid_set = std::set<unsigned long long>;

constexpr std::size_t file_bytes_max = 1024 * 1024; ///< Of the file; more is none of ours.

/// Which boot of the host this is; empty where the kernel does not tell.
[[nodiscard]] std::string boot_of_host();

class kept_xids {
public:
  /// Reads what `folder` has of the boot `boot`. Either empty: nothing is kept.
  kept_xids(const std::string& folder, std::string boot);

  /// Of a board by its UUID, at any time since the boot.
  [[nodiscard]] xid_set of(const std::string& uuid) const;
  /// Writes the file where that is new.
  void add(const std::string& uuid, unsigned long long xid);
  /// The board was reset: writes the file without it.
  void forget(const std::string& uuid);
  /// Empty where nothing is kept.
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  void load();
  void write();

  std::string path_, boot_;
  std::map<std::string, xid_set> boards_;
  bool said_ = false; ///< That it cannot be written.
};

} // namespace consort::nvml
