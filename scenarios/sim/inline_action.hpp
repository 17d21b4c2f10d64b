// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Something to do once, kept inside the object when it is small, so that an entry of the heap
/// costs no allocation. Movable, not copyable; called at most once.

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace consort::sim {

class inline_action {
public:
  static constexpr std::size_t bytes = 72; ///< A larger one lives on the heap.

  /// Nothing to do.
  inline_action() = default;
  /// Takes a callable, which need not be copyable.
  template <class What>
  requires(!std::is_same_v<std::decay_t<What>, inline_action>)
      inline_action(What&& what) { // NOLINT: implicit by design, as std::function's is.
    using kept = std::decay_t<What>;
    if constexpr (sizeof(kept) <= bytes && alignof(kept) <= alignof(std::max_align_t)
                  && std::is_nothrow_move_constructible_v<kept>) {
      new (&store_) kept(std::forward<What>(what));
      handle_ = &handle_inside<kept>;
    } else {
      new (&store_) kept*(new kept(std::forward<What>(what)));
      handle_ = &handle_apart<kept>;
    }
  }
  inline_action(inline_action&& other) noexcept { take(other); }
  inline_action& operator=(inline_action&& other) noexcept {
    if (this != &other) {
      drop();
      take(other);
    }
    return *this;
  }
  ~inline_action() { drop(); }

  explicit operator bool() const { return handle_ != nullptr; }
  /// Requires: there is one.
  void operator()() { handle_(verb::call, &store_, nullptr); }

private:
  /// All that is ever done to what is kept, behind one pointer.
  enum class verb : unsigned char { call, move, drop };
  using handler = void (*)(verb, void*, void*);

  /// Of something in `store_`; `to` = where it moves.
  template <class Kept>
  static void handle_inside(verb what, void* at, void* to) {
    auto& kept = *static_cast<Kept*>(at);
    if (what == verb::call) {
      kept();
    } else {
      if (what == verb::move)
        new (to) Kept(std::move(kept));
      kept.~Kept();
    }
  }
  /// Of something on the heap: `store_` holds a pointer to it.
  template <class Kept>
  static void handle_apart(verb what, void* at, void* to) {
    auto* kept = *static_cast<Kept**>(at);
    if (what == verb::call)
      (*kept)();
    else if (what == verb::move)
      new (to) Kept*(kept);
    else
      delete kept;
  }

  /// `other` is empty afterwards. Requires: this is.
  void take(inline_action& other) noexcept {
    handle_ = std::exchange(other.handle_, nullptr);
    if (handle_)
      handle_(verb::move, &other.store_, &store_);
  }
  void drop() noexcept {
    if (auto* held = std::exchange(handle_, nullptr))
      held(verb::drop, &store_, nullptr);
  }

  handler handle_ = nullptr; ///< Null = empty.
  alignas(std::max_align_t) std::byte store_[bytes];
};

} // namespace consort::sim
