#include "proxy/exchange/exchange_pool.hpp"

#include <utility>

#include "proxy/exchange/exchange.hpp"
#include "proxy/net/memory_reuse.hpp"

namespace larder::proxy {

namespace {

constexpr std::size_t most_idle = memory_is_used_again ? 128 : 0;  // as many as wait at a time in a busy worker
constexpr std::size_t most_kept_bytes = 4 * 1024;                  // of memory for each text

bool is_large(const Exchange& exchange) noexcept
{
    return exchange.head_bytes.capacity() > most_kept_bytes || exchange.key.capacity() > most_kept_bytes ||
           exchange.path_scratch.capacity() > most_kept_bytes;
}

}  // namespace

void intrusive_ptr_add_ref(Exchange* exchange) noexcept { ++exchange->holders_; }

void intrusive_ptr_release(Exchange* exchange) noexcept
{
    if (--exchange->holders_ == 0) exchange->pool_->put_back(exchange);
}

ExchangePool::~ExchangePool()
{
    while (idle_) delete std::exchange(idle_, idle_->next_idle_);
}

ExchangePtr ExchangePool::take()
{
    if (idle_) {
        --idle_count_;
        return ExchangePtr(std::exchange(idle_, idle_->next_idle_));
    }
    ExchangePtr exchange(new Exchange);
    exchange->pool_ = this;
    return exchange;
}

void ExchangePool::put_back(Exchange* exchange) noexcept
{
    if (idle_count_ == most_idle || is_large(*exchange)) {
        delete exchange;
        return;
    }
    exchange->config.reset();  // one that was replaced is not kept by who only waits for work
    exchange->next_idle_ = std::exchange(idle_, exchange);
    ++idle_count_;
}

}  // namespace larder::proxy
