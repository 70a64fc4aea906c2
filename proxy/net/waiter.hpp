// A completion handler behind a virtual function: what asio::any_completion_handler is from Boost 1.82 on. One
// allocation, which Asio recycles.
#pragma once

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <memory>
#include <utility>

#include "proxy/net/asio.hpp"

namespace larder::proxy {

/// Somebody to be told of a value. Exactly one of the two is called, once, and ends it; `abandon` resumes nobody.
template <class Value>
class Completion {
  public:
    virtual void complete(Value&& value) = 0;
    virtual void abandon() noexcept = 0;

  protected:
    ~Completion() = default;
};

/// `Base` has `virtual void complete(Value&&)` and `virtual void abandon() noexcept`, of which exactly one is called,
/// once; both free the waiter. `abandon` resumes nobody.
template <class Base, class Value, class Handler>
class Waiter final : public Base {
  public:
    static Waiter* make(Handler&& handler)
    {
        auto allocator = allocator_of(handler);
        Waiter* place = std::allocator_traits<decltype(allocator)>::allocate(allocator, 1);
        return new (place) Waiter(std::move(handler));
    }

    void complete(Value&& value) override
    {
        Value kept = std::move(value);  // it may live in what the handler frees
        Handler handler = take();
        std::move(handler)(std::move(kept));
    }
    void abandon() noexcept override { [[maybe_unused]] const Handler handler = take(); }

  private:
    explicit Waiter(Handler&& handler) : handler_(std::move(handler)) {}
    ~Waiter() = default;

    static auto allocator_of(const Handler& handler)
    {
        auto any = asio::get_associated_allocator(handler, asio::recycling_allocator<void>());
        return typename std::allocator_traits<decltype(any)>::template rebind_alloc<Waiter>(any);
    }
    Handler take()
    {
        Handler handler = std::move(handler_);
        auto allocator = allocator_of(handler);
        this->~Waiter();
        std::allocator_traits<decltype(allocator)>::deallocate(allocator, this, 1);
        return handler;
    }

    Handler handler_;
};

/// For coroutines: waits for what `begin(Completion<Value>&)` completes, later and not from within. Where that returns
/// false instead, the value is `otherwise()`. Both live until the wait ends, as must what they refer to: name it in the
/// awaiting frame.
template <class Value, class Begin, class Otherwise>
asio::awaitable<Value> await_completion(asio::io_context& context, Begin begin, Otherwise otherwise)
{
    auto start = [&context, begin = std::move(begin), otherwise = std::move(otherwise)](auto&& handler) mutable {
        using Handler = std::decay_t<decltype(handler)>;
        Completion<Value>* const done = Waiter<Completion<Value>, Value, Handler>::make(std::move(handler));
        if (begin(*done)) return;
        asio::post(context, [done, otherwise = std::move(otherwise)] { done->complete(otherwise()); });
    };
    return asio::async_initiate<decltype(asio::use_awaitable), void(Value)>(std::move(start), asio::use_awaitable);
}

}  // namespace larder::proxy
