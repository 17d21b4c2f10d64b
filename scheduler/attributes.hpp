// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Attributes of devices and nodes that mean something to the core: what a node knows of its
/// plugins and compilers reaches it as these. The words for people are repeated and decide nothing.

namespace consort::core {

/// Of a device: why its plugin has no compiler for it.
inline constexpr const char* no_compiler_attribute = "no_compiler";

/// Of a node: another value where the files of its compilers are others. That one decides: builds
/// that a compiler refused are tried again.
inline constexpr const char* compilers_attribute = "compilers";

/// Of a node, one per plugin whose probe failed or that lacks a compiler: this and the plugin's
/// name, and why.
inline constexpr const char* plugin_attribute = "plugin ";

} // namespace consort::core
