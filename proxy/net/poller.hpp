// Which sockets of one io_context are ready: an edge-triggered epoll of its own, which the io_context watches as one
// descriptor. A socket is registered once, and what became ready in one turn is resumed in one go. Asio's own wait
// costs a system call each time (epoll_ctl, or a read in vain), which is a tenth of what a hit costs in all. A turn is
// as many rounds (an epoll_wait, and who waits for what it tells) as it takes until no socket is ready, for a
// millisecond at most, so that the busier the thread is, the more commands leave for Redis in one write; a lone request
// pays one epoll_wait more.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/intrusive/list.hpp>
#include <memory>

#include "proxy/net/asio.hpp"
#include "proxy/net/descriptor.hpp"
#include "proxy/net/waiter.hpp"

namespace larder::proxy {

enum class Direction : std::uint8_t { read, write };

class Poller;

/// One socket that a poller watches. Belongs to whoever owns the socket. Single-threaded, like the io_context it was
/// made with.
class Watched : public boost::intrusive::list_base_hook<> {
  public:
    explicit Watched(asio::io_context& context);
    ~Watched() { remove(); }
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;

    /// Begins to watch. A TCP socket that is to be connected: `connect` has been called. False: the kernel refuses.
    bool add(int fd);
    /// Ends it, and all waits with false. The descriptor is closed next, by the caller.
    void remove() noexcept;

    /// Completes with true when a try in this direction is worth it, with false after `cancel` or `remove`; never from
    /// within the call. One wait per direction at a time.
    template <class Token>
    auto async_wait(Direction direction, Token&& token)
    {
        auto start = [this, direction](auto handler) {
            using Handler = std::decay_t<decltype(handler)>;
            begin_wait(direction, Waiter<Completion<bool>, bool, Handler>::make(std::move(handler)));
        };
        return asio::async_initiate<Token, void(bool)>(std::move(start), token);
    }
    /// The same for who needs no memory for it: `waiting` stays until it is completed, or abandoned with the
    /// io_context.
    void wait(Direction direction, Completion<bool>& waiting) { begin_wait(direction, &waiting); }
    void cancel() noexcept;
    /// Ends present waits, and those to come, with false.
    void abort() noexcept
    {
        aborted_ = true;
        cancel();
    }

    /// False: nothing has come since the last try, as far as is known; the next wait tells.
    bool is_readable() const noexcept { return readable_; }
    /// Something may have come that no event has told of yet: the next try asks the kernel.
    void doubt() noexcept { readable_ = true; }
    /// A try has found that it would block.
    void blocked(Direction direction) noexcept { (direction == Direction::read ? readable_ : writable_) = false; }
    /// A read has taken less than it had room for, so nothing was left: unless the end has come too, or the read
    /// stopped at urgent data.
    void drained() noexcept { readable_ = ended_; }

  private:
    friend class Poller;
    struct Abandon {
        void operator()(Completion<bool>* waiter) const noexcept { waiter->abandon(); }
    };

    void begin_wait(Direction direction, Completion<bool>* waiter);
    void on_events(std::uint32_t events);
    void end_wait(Completion<bool>*& slot, bool ready) noexcept;
    bool ask_for(std::uint32_t events, int operation) noexcept;

    Poller& poller_;
    int fd_ = -1;
    bool readable_ = false;  // what the last events and tries have told
    bool writable_ = false;
    bool ended_ = false;     // or has urgent data: a short read does not say that nothing is left
    bool asks_out_ = false;  // room to write is told of
    bool aborted_ = false;
    Completion<bool>* reader_ = nullptr;
    Completion<bool>* writer_ = nullptr;
};

/// The service of an io_context that its sockets share. Used through `Watched`.
class Poller final : public asio::execution_context::service {
  public:
    using key_type = Poller;
    static asio::execution_context::id id;
    explicit Poller(asio::execution_context& context);

  private:
    friend class Watched;
    void shutdown() noexcept override;
    void arm();
    void on_ready();
    std::size_t tell();
    void forget(const Watched& watched) noexcept;

    static constexpr std::size_t events_at_once = 256;
    asio::io_context& context_;
    Descriptor epoll_;
    asio::posix::stream_descriptor readiness_;  // of a duplicate of `epoll_`
    boost::intrusive::list<Watched> all_;
    std::size_t waits_ = 0;  // begun and not ended: without any, the io_context may run out of work
    bool armed_ = false;
    bool dispatching_ = false;
    std::array<epoll_event, events_at_once> events_;
    std::size_t next_ = 0, count_ = 0;  // of `events_`, what is still to be told
};

}  // namespace larder::proxy
