// SPDX-License-Identifier: Apache-2.0
#pragma once
/// plugin.json texts for tests: one valid plugin whose parts can be exchanged.

#include <string>

namespace consort::node::test {

/// A complete plugin of a fake vendor; its tools are scripts that a test writes into the folder.
inline const std::string& fake_plugin() {
  static const std::string text = R"json({
  "schema": 1, "name": "fake", "version": "1.0", "vendor": "Fake", "type": "npu", // comment
  "priority": 60, "simulated": true, "tags": ["low-latency"],
  "available": { "command": "fake-smi" },
  "probe": { "command": ["fake-smi", "-j"], "parse": "json", "each": "/devices",
             "id": "/uuid", "model": "/name", "memory_bytes": { "at": "/memory", "unit": "MiB" },
             "attributes": { "pci": "/pci" } },
  "telemetry": { "command": ["fake-smi", "-j"], "each": "/devices", "id": "/uuid",
                 "power_watts": { "at": "/power", "unit": "mW" }, "utilization": "/busy",
                 "health": { "at": "/state", "words": { "ok": "healthy" } } },
  "capability": { "max_sequences": 4, "requires_artifact": true, "dtypes": ["q8_0"],
                  "runtime": { "resume": "tokens", "cancel": true } },
  "spec": { "prefill_tokens_per_s": 1000, "decode_tokens_per_s": 100.4, "decode_batch_gain": 0.25,
            "load": "50ms", "tdp_watts": 12.5, "tflops": { "int8": 32 } },
  "build": [ { "profile": "fake", "target": "fake-1", "compiler": "fake-cc", "dtype": "q8_0",
               "command": ["fake-cc", "{model}", "{output}"],
               "version_command": ["fake-cc", "--version"],
               "compatible_with": ["target", "compiler_version:minor"],
               "progress": "(\\d+)%", "quality": { "lines": "^quality (\\w+)=(\\S+)" },
               "timeout": "1m", "disk": "1MiB" } ],
  "runtime": { "interface": "c-abi", "library": "libfake.so", "config": { "tiles": 4 } }
})json";
  return text;
}

/// The fake plugin with `from` (which must be there) replaced by `to`.
inline std::string changed(const std::string& from, const std::string& to,
                           std::string text = fake_plugin()) {
  const auto at = text.find(from);
  return at == std::string::npos ? "no such text: " + from : text.replace(at, from.size(), to);
}

} // namespace consort::node::test
