// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The vocabulary that every part of Consort uses: identifiers, errors, resources, models,
/// requests. Standard library only, values only. The wire form of each type is in messages/*.capnp;
/// the words are defined in scheduler/README.md.

#include "scheduler/ids.hpp"       // IWYU pragma: export
#include "scheduler/models.hpp"    // IWYU pragma: export
#include "scheduler/requests.hpp"  // IWYU pragma: export
#include "scheduler/resources.hpp" // IWYU pragma: export
#include "scheduler/result.hpp"    // IWYU pragma: export
