// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What nobody will have for a while: weights that came other than they were declared or were lost
/// again, and engines whose weights are gone or changed on every node that could build them. They
/// are refused for limits::corrupt_backoff_us, so that whoever wants them is told at once, and
/// tried again then, when their model is declared again, or when somebody asks for a build. Of what
/// is refused that rests which has a time of the next try; the rest of it is refused for good.

#include "scheduler/modules.hpp"

#include <string>

namespace consort::core {

[[nodiscard]] bool rests(const artifact_entry& entry);
/// The weights that an engine is made of, or the weights themselves, where they are to come from
/// elsewhere and no node has them; else none.
[[nodiscard]] index missing_weights(const core_state& s, const artifact_entry& entry);
/// The same where they are refused, for a while or for good.
[[nodiscard]] index refused_weights(const core_state& s, const artifact_entry& entry);
/// When what failed is tried again and what may be done for it, behind its reason; empty when it
/// may be tried now, or nobody is left who could.
[[nodiscard]] std::string next_try_words(const core_state& s, const artifact_entry& entry,
                                         time_us now);
/// In artifacts.cpp: of a model that is declared, what rests and what nobody has is tried as if
/// nothing had failed.
void forgive_sources_of(core_state& s, index model);
/// A time of the next try of something, or of another copy, has come.
void check_fetch(pass& p, index artifact);

} // namespace consort::core
