// SPDX-License-Identifier: Apache-2.0
// Where the test data of backends lies: models that compilers are shown, and hosts' /sys and /dev.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { binary } from '../system/support.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const build = path.resolve(path.dirname(binary), '..');
/// Where the build lays plugins out that have something to compile.
export const built_plugins = path.join(build, 'share/consort/plugins');
export const fake_nvml = path.join(build, 'tests/backends/libconsort_fake_nvml.so');
/// A library with the C ABI that a vendor's slot takes: the engine of this project.
export const engine_library = path.join(build, 'lib/consort/libconsort-llama.so');
export const model_folder = (name) => path.join(here, 'models', name);
/// Variables under which an agent sees that host's files.
export const host_root = (name) => ({ CONSORT_HOST_ROOT: path.join(here, 'roots', name) });
export const no_device = /no device found|not on this host/;
