// Exchanges that are used again: their strings keep their memory, so that a request which has to wait allocates nothing
// for itself.
#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <memory>
#include <vector>

namespace larder::proxy {

struct Exchange;

void intrusive_ptr_add_ref(Exchange* exchange) noexcept;
void intrusive_ptr_release(Exchange* exchange) noexcept;

/// Shared by all who work on one request, on one thread.
using ExchangePtr = boost::intrusive_ptr<Exchange>;

/// Single-threaded: one per worker. Outlives its exchanges.
class ExchangePool {
  public:
    ExchangePool();
    ~ExchangePool();
    ExchangePool(const ExchangePool&) = delete;
    ExchangePool& operator=(const ExchangePool&) = delete;

    /// One of which nothing is known: `judge` is next, once its head is.
    ExchangePtr take();

  private:
    friend void intrusive_ptr_release(Exchange* exchange) noexcept;
    void put_back(std::unique_ptr<Exchange> exchange) noexcept;

    std::vector<std::unique_ptr<Exchange>> idle_;
};

}  // namespace larder::proxy
