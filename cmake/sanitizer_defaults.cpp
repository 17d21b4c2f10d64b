// SPDX-License-Identifier: Apache-2.0
/// What AddressSanitizer's runtime does in every program of ours, unless ASAN_OPTIONS says else.
///
/// It guesses where the thread-local storage of a loaded library begins from what libc kept in
/// front of it in 2.19; since then that is the header of malloc's block. When such a block begins
/// at byte 16 of a page, one in some thousand runs, the leak check reads at the size of the block
/// before it as if it were an address, and the program ends with a fault after all went well.
/// Without the guess no storage is looked into that otherwise would be.
///
/// Freed memory is kept from use for 64 MB more, not for 256: a host copies its page tables for
/// each tool that it starts, and pages that were never touched cost nothing.

extern "C" const char* __asan_default_options();

extern "C" const char* __asan_default_options() {
  return "intercept_tls_get_addr=0:quarantine_size_mb=64";
}
