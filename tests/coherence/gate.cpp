#include "tests/coherence/gate.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace larder::tests {

namespace {

constexpr std::chrono::milliseconds held_tick{5};

void rethrow(std::exception_ptr error)
{
    if (error) std::rethrow_exception(error);
}

void reset(tcp::socket& socket)
{
    boost::system::error_code ignored;
    socket.set_option(asio::socket_base::linger(true, 0), ignored);
    socket.close(ignored);
}

}  // namespace

struct Gate::Pair {
    Pair(tcp::socket near, asio::io_context& context) : near(std::move(near)), far(context) {}
    tcp::socket near, far;
};

Gate::Gate(std::uint16_t target_port)
    : acceptor_(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      port_(acceptor_.local_endpoint().port()),
      target_(asio::ip::address_v4::loopback(), target_port)
{
    asio::co_spawn(context_, run_listener(), rethrow);
    thread_ = std::thread([this] { context_.run(); });
}

Gate::~Gate()
{
    context_.stop();
    thread_.join();
}

void Gate::set(Mode mode, std::chrono::milliseconds delay)
{
    asio::post(context_, [this, mode, delay] {
        mode_ = mode;
        delay_ = delay;
        if (mode != Mode::shut) return;
        for (const auto& weak : pairs_) {
            const auto pair = weak.lock();
            if (!pair) continue;
            reset(pair->near);
            reset(pair->far);
        }
        pairs_.clear();
    });
}

asio::awaitable<void> Gate::pause(std::chrono::milliseconds time)
{
    asio::steady_timer timer(context_, time);
    co_await timer.async_wait(no_throw);
}

asio::awaitable<void> Gate::run_listener()
{
    for (;;) {
        auto [ec, socket] = co_await acceptor_.async_accept(no_throw);
        if (ec) co_return;
        if (mode_ == Mode::shut) {
            reset(socket);
            continue;
        }
        const auto pair = std::make_shared<Pair>(std::move(socket), context_);
        pairs_.push_back(pair);
        asio::co_spawn(context_, run_pair(pair), rethrow);
    }
}

asio::awaitable<void> Gate::run_pair(std::shared_ptr<Pair> pair)
{
    while (mode_ == Mode::held) co_await pause(held_tick);
    auto [ec] = co_await pair->far.async_connect(target_, no_throw);
    boost::system::error_code ignored;
    if (ec) {
        reset(pair->near);
        co_return;
    }
    pair->near.set_option(tcp::no_delay(true), ignored);
    pair->far.set_option(tcp::no_delay(true), ignored);
    asio::co_spawn(context_, pump(pair, pair->near, pair->far), rethrow);
    asio::co_spawn(context_, pump(pair, pair->far, pair->near), rethrow);
}

/// `pair` keeps both sockets alive.
asio::awaitable<void> Gate::pump([[maybe_unused]] std::shared_ptr<Pair> pair, tcp::socket& from, tcp::socket& to)
{
    std::string bytes;
    for (;;) {
        bytes.resize(64 * 1024);
        auto [ec, count] = co_await from.async_read_some(asio::buffer(bytes), no_throw);
        bytes.resize(count);
        while (mode_ == Mode::held) co_await pause(held_tick);
        if (mode_ == Mode::slow) co_await pause(delay_);
        bool sent = true;
        if (count > 0) sent = co_await write_all(to, bytes);
        if (ec || !sent) break;
    }
    boost::system::error_code ignored;
    to.shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace larder::tests
