#include "proxy/exchange/exchange_pool.hpp"

#include "proxy/exchange/exchange.hpp"

namespace larder::proxy {

namespace {

// As many as wait at a time in a busy worker. AddressSanitizer is to find who uses one that nobody holds any more.
#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t most_idle = 0;
#else
constexpr std::size_t most_idle = 128;
#endif
constexpr std::size_t most_kept_bytes = 4 * 1024;  // of memory for a head, which may have been a large one

}  // namespace

void intrusive_ptr_add_ref(Exchange* exchange) noexcept { ++exchange->holders_; }

void intrusive_ptr_release(Exchange* exchange) noexcept
{
    if (--exchange->holders_ == 0) exchange->pool_->put_back(std::unique_ptr<Exchange>(exchange));
}

ExchangePool::ExchangePool() { idle_.reserve(most_idle); }

ExchangePool::~ExchangePool() = default;

ExchangePtr ExchangePool::take()
{
    std::unique_ptr<Exchange> exchange;
    if (idle_.empty()) {
        exchange = std::make_unique<Exchange>();
        exchange->pool_ = this;
    } else {
        exchange = std::move(idle_.back());
        idle_.pop_back();
    }
    return ExchangePtr(exchange.release());
}

void ExchangePool::put_back(std::unique_ptr<Exchange> exchange) noexcept
{
    if (idle_.size() == most_idle || exchange->head.bytes.size() > most_kept_bytes) return;
    exchange->config.reset();  // one that was replaced is not kept by who only waits for work
    idle_.push_back(std::move(exchange));
}

}  // namespace larder::proxy
