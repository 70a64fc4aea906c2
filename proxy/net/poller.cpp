#include "proxy/net/poller.hpp"

#include <fcntl.h>

#include <cerrno>
#include <system_error>

#include "proxy/net/clock.hpp"

namespace larder::proxy {

asio::execution_context::id Poller::id;

namespace {

constexpr std::uint32_t inward = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;

}  // namespace

Poller::Poller(asio::execution_context& context)
    : service(context),
      context_(static_cast<asio::io_context&>(context)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      readiness_(context_)
{
    const int copy = epoll_ ? ::fcntl(epoll_.get(), F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
    readiness_.assign(copy);
}

// The io_context goes: whoever still waits is dropped, which may free other sockets.
void Poller::shutdown() noexcept
{
    while (!all_.empty()) {
        Watched& watched = all_.front();
        Completion<bool>* const reader = std::exchange(watched.reader_, nullptr);
        Completion<bool>* const writer = std::exchange(watched.writer_, nullptr);
        watched.remove();
        if (reader) reader->abandon();
        if (writer) writer->abandon();
    }
}

void Poller::arm()
{
    if (armed_ || dispatching_ || waits_ == 0) return;
    armed_ = true;
    readiness_.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code ec) {
        armed_ = false;
        if (!ec)
            on_ready();
        else
            arm();
    });
}

void Poller::on_ready()
{
    dispatching_ = true;
    // What was posted to the io_context, its timers and new connections wait for no more than this and one round.
    constexpr rules::Milliseconds turn_limit{1};
    const rules::Instant end = instant_now() + turn_limit;
    while (tell() > 0 && instant_now() < end) {}
    dispatching_ = false;
    arm();
}

/// One round: what is ready now. Returns how many events that were.
std::size_t Poller::tell()
{
    const int count = ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), 0);
    count_ = count > 0 ? static_cast<std::size_t>(count) : 0;
    const std::size_t told = count_;
    ClockRound clock;
    for (next_ = 0; next_ < count_;) {
        const epoll_event event = events_[next_++];
        clock.next();
        if (event.data.ptr) static_cast<Watched*>(event.data.ptr)->on_events(event.events);
    }
    next_ = count_ = 0;
    return told;
}

// Events of this turn that are not told yet must not be told to what has gone.
void Poller::forget(const Watched& watched) noexcept
{
    for (std::size_t i = next_; i < count_; ++i)
        if (events_[i].data.ptr == &watched) events_[i].data.ptr = nullptr;
}

Watched::Watched(asio::io_context& context) : poller_(asio::use_service<Poller>(context)) {}

bool Watched::add(int fd)
{
    fd_ = fd;
    readable_ = writable_ = ended_ = asks_out_ = false;  // what is ready already is told of, too
    if (!ask_for(inward, EPOLL_CTL_ADD)) {
        fd_ = -1;
        return false;
    }
    poller_.all_.push_back(*this);
    return true;
}

bool Watched::ask_for(std::uint32_t events, int operation) noexcept
{
    epoll_event event{};
    event.events = events;
    event.data.ptr = this;
    return ::epoll_ctl(poller_.epoll_.get(), operation, fd_, &event) == 0;
}

void Watched::remove() noexcept
{
    if (fd_ < 0) return;
    cancel();
    fd_ = -1;  // closing it takes it out of the epoll
    poller_.forget(*this);
    poller_.all_.erase(poller_.all_.iterator_to(*this));
}

void Watched::begin_wait(Direction direction, Completion<bool>* waiter)
{
    Completion<bool>*& slot = direction == Direction::read ? reader_ : writer_;
    slot = waiter;
    ++poller_.waits_;
    if (fd_ < 0 || aborted_) return end_wait(slot, false);
    if (direction == Direction::write && !asks_out_) {
        writable_ = false;
        asks_out_ = ask_for(inward | EPOLLOUT, EPOLL_CTL_MOD);
    }
    if (direction == Direction::read ? readable_ : writable_)
        end_wait(slot, true);
    else
        poller_.arm();
}

void Watched::end_wait(Completion<bool>*& slot, bool ready) noexcept
{
    Completion<bool>* const waiter = std::exchange(slot, nullptr);
    if (!waiter) return;
    --poller_.waits_;
    asio::post(poller_.context_, [kept = std::unique_ptr<Completion<bool>, Abandon>(waiter), ready]() mutable {
        kept.release()->complete(bool(ready));
    });
}

void Watched::cancel() noexcept
{
    end_wait(reader_, false);
    end_wait(writer_, false);
    if (poller_.waits_ > 0 || !poller_.armed_) return;
    error_code ignored;
    poller_.readiness_.cancel(ignored);
}

void Watched::on_events(std::uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) ended_ = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) readable_ = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) writable_ = true;
    // A unix socket tells of room each time its peer reads; TCP only when it was missed.
    if (asks_out_ && !writer_ && (events & EPOLLOUT) && !(events & EPOLLIN))
        asks_out_ = !ask_for(inward, EPOLL_CTL_MOD);
    // Either may free this.
    Completion<bool>* const reader = readable_ ? std::exchange(reader_, nullptr) : nullptr;
    Completion<bool>* const writer = writable_ ? std::exchange(writer_, nullptr) : nullptr;
    poller_.waits_ -= (reader ? 1 : 0) + (writer ? 1 : 0);
    if (reader) reader->complete(true);
    if (writer) writer->complete(true);
}

}  // namespace larder::proxy
