// One coroutine waits, anybody wakes it, from any thread. Lives in the waiter's frame; whoever wakes must know that the
// waiter is still there (it is registered under a lock, or both live on one thread).
#pragma once

#include <atomic>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <utility>

#include "proxy/net/asio.hpp"

namespace larder::proxy {

class WakeUp {
  public:
    explicit WakeUp(asio::io_context& context) : context_(context) {}
    WakeUp(const WakeUp&) = delete;
    WakeUp& operator=(const WakeUp&) = delete;

    /// Resumes on the waiter's io_context once `wake` has been called, at once if it was called already. One wait only.
    asio::awaitable<void> wait()
    {
        auto initiation = [this](auto handler) { begin(std::move(handler)); };
        return asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiation), asio::use_awaitable);
    }

    /// Any thread; calls after the first do nothing. Does not touch the object after the waiter may have resumed.
    void wake() noexcept
    {
        if (state_.exchange(State::woken, std::memory_order_acq_rel) == State::waiting) post(std::move(resume_));
    }

    /// Makes it ready for another wait. Only the waiter's thread, while nobody can wake it.
    void reset() noexcept { state_.store(State::idle, std::memory_order_release); }
    bool woken() const noexcept { return state_.load(std::memory_order_acquire) == State::woken; }

  private:
    enum class State : unsigned char { idle, waiting, woken };

    struct Resume {
        virtual ~Resume() = default;
        virtual void run() = 0;
    };
    template <class Handler>
    struct ResumeWith final : Resume {
        explicit ResumeWith(Handler h) : handler(std::move(h)) {}
        void run() override { std::move(handler)(); }
        Handler handler;
    };

    template <class Handler>
    void begin(Handler handler)
    {
        resume_ = std::make_unique<ResumeWith<Handler>>(std::move(handler));
        State expected = State::idle;
        if (!state_.compare_exchange_strong(expected, State::waiting, std::memory_order_acq_rel))
            post(std::move(resume_));
    }
    void post(std::unique_ptr<Resume> resume)
    {
        asio::post(context_, [resume = std::move(resume)] { resume->run(); });
    }

    asio::io_context& context_;
    std::atomic<State> state_{State::idle};
    std::unique_ptr<Resume> resume_;
};

}  // namespace larder::proxy
