// Exchanges that are used again: their strings keep their memory, so that a request which has to wait allocates nothing
// for itself.
#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <cstddef>

namespace larder::proxy {

struct Exchange;

void intrusive_ptr_add_ref(Exchange* exchange) noexcept;
void intrusive_ptr_release(Exchange* exchange) noexcept;

/// Shared by all who work on one request, on one thread.
using ExchangePtr = boost::intrusive_ptr<Exchange>;

/// Single-threaded: one per worker. Outlives its exchanges.
class ExchangePool {
  public:
    ExchangePool() = default;
    ~ExchangePool();
    ExchangePool(const ExchangePool&) = delete;
    ExchangePool& operator=(const ExchangePool&) = delete;

    /// One for another request. What it has of an earlier one stays until `judge`, which is next, once the head is
    /// known.
    ExchangePtr take();

  private:
    friend void intrusive_ptr_release(Exchange* exchange) noexcept;
    void put_back(Exchange* exchange) noexcept;

    Exchange* idle_ = nullptr;  // a list of those that nobody holds
    std::size_t idle_count_ = 0;
};

}  // namespace larder::proxy
