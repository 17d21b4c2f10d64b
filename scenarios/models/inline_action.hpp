// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Something to do once, kept inside the object when it is small, so that an entry of the heap
/// costs no allocation. Movable, not copyable; called at most once.

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace consort::sim {

/// A callable larger than `Bytes` lives on the heap.
template <std::size_t Bytes>
class basic_action {
public:
  /// Nothing to do.
  basic_action() = default;
  /// Takes a callable, which need not be copyable.
  template <class What>
  requires(!std::is_same_v<std::decay_t<What>, basic_action>)
      basic_action(What&& what) { // NOLINT: implicit by design, as std::function's is.
    emplace(std::forward<What>(what));
  }
  basic_action(basic_action&& other) noexcept { take(other); }
  basic_action& operator=(basic_action&& other) noexcept {
    if (this != &other) {
      drop();
      take(other);
    }
    return *this;
  }
  ~basic_action() { drop(); }

  /// Takes another. Requires: there is none.
  template <class What>
  void emplace(What&& what) {
    using kept = std::decay_t<What>;
    if constexpr (std::is_same_v<kept, basic_action>) {
      take(what);
    } else if constexpr (sizeof(kept) <= Bytes && alignof(kept) <= alignof(handler)
                         && std::is_nothrow_move_constructible_v<kept>) {
      new (&store_) kept(std::forward<What>(what));
      handle_ = &handle_inside<kept>;
    } else {
      new (&store_) kept*(new kept(std::forward<What>(what)));
      handle_ = &handle_apart<kept>;
    }
  }

  explicit operator bool() const { return handle_ != nullptr; }
  /// Does it, and is empty afterwards. Requires: there is one.
  void operator()() { std::exchange(handle_, nullptr)(verb::run, &store_, nullptr); }

private:
  /// All that is ever done to what is kept, behind one pointer.
  enum class verb : unsigned char { run, move, drop };
  using handler = void (*)(verb, void*, void*);

  /// Of something in `store_`; `to` = where it moves.
  template <class Kept>
  static void handle_inside(verb what, void* at, void* to) {
    auto& kept = *static_cast<Kept*>(at);
    if (what == verb::run)
      kept();
    else if (what == verb::move)
      new (to) Kept(std::move(kept));
    kept.~Kept();
  }
  /// Of something on the heap: `store_` holds a pointer to it.
  template <class Kept>
  static void handle_apart(verb what, void* at, void* to) {
    auto* kept = *static_cast<Kept**>(at);
    if (what == verb::move) {
      new (to) Kept*(kept);
      return;
    }
    if (what == verb::run)
      (*kept)();
    delete kept;
  }

  /// `other` is empty afterwards. Requires: this is.
  void take(basic_action& other) noexcept {
    handle_ = std::exchange(other.handle_, nullptr);
    if (handle_)
      handle_(verb::move, &other.store_, &store_);
  }
  void drop() noexcept {
    if (auto* held = std::exchange(handle_, nullptr))
      held(verb::drop, &store_, nullptr);
  }

  handler handle_ = nullptr; ///< Null = empty.
  alignas(handler) std::byte store_[Bytes];
};

/// Of the heap: a frame under way, or an action of an engine with its node.
using inline_action = basic_action<72>;
/// Of an engine: itself, one of its lanes, and whether both are still there.
using engine_action = basic_action<40>;

} // namespace consort::sim
