// Keeps the mark of a write open for as long as the write is under way: half-way through the mark's life PREPARE is
// appended again. A long upload, or an app that takes its time, must not outlive the mark (COHERENCE section 3).
#pragma once

#include <memory>

#include "proxy/exchange/services.hpp"

namespace larder::proxy {

/// Lives in the frame of whoever forwards the write. Single-threaded.
class MarkRenewal {
  public:
    /// From now on. Nothing is done for a write that is not prepared: it has no mark.
    /// @param write  outlives this; told by `end` until when its marks last
    MarkRenewal(Services& services, WritePurge& write);
    /// Whoever leaves without `end` (by an exception) leaves at most one PREPARE behind, whose mark ends by itself.
    ~MarkRenewal();
    MarkRenewal(const MarkRenewal&) = delete;
    MarkRenewal& operator=(const MarkRenewal&) = delete;

    /// Ends it. When this returns nothing of it runs any more: await it before COMMIT, since a PREPARE that came after
    /// that would open a mark that nobody closes. Ends by the store's deadlines.
    asio::awaitable<void> end();

  private:
    struct State;
    static asio::awaitable<void> run(std::shared_ptr<State> state);
    WritePurge& write_;
    std::shared_ptr<State> state_;  // null: nothing to renew
};

}  // namespace larder::proxy
