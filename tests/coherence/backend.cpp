#include "tests/coherence/backend.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>

#include "tests/support/eventually.hpp"

namespace larder::tests {

namespace {

std::uint32_t number(std::string_view text, std::uint32_t fallback)
{
    std::uint32_t value = fallback;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::string answer(int status, const char* reason, const std::string& body)
{
    return "HTTP/1.1 " + std::to_string(status) + " " + reason +
           "\r\nCache-Control: max-age=600\r\nContent-Type: text/plain\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

void rethrow(std::exception_ptr error)
{
    if (error) std::rethrow_exception(error);
}

}  // namespace

VersionedBackend::VersionedBackend(const BackendOptions& options, std::uint64_t seed)
    : options_(options),
      random_(seed),
      acceptor_(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      port_(acceptor_.local_endpoint().port()),
      versions_(options.items, 1),
      padding_(options.padding_bytes, 'x')
{
    asio::co_spawn(context_, run_listener(), rethrow);
    thread_ = std::thread([this] { context_.run(); });
}

VersionedBackend::~VersionedBackend() { stop(); }

std::vector<Commit> VersionedBackend::stop()
{
    context_.stop();
    if (thread_.joinable()) thread_.join();
    return std::move(commits_);
}

void VersionedBackend::trap(Phase phase, int replica, std::function<void()> act)
{
    asio::post(context_, [this, phase, replica, act = std::move(act)]() mutable {
        trap_phase_ = phase;
        trap_act_ = std::move(act);
        trap_replica_ = replica;
    });
}

void VersionedBackend::spring(Phase phase, int replica)
{
    if (trap_replica_ != replica || trap_phase_ != phase) return;
    trap_act_();
    trap_replica_ = -1;
}

asio::awaitable<void> VersionedBackend::run_listener()
{
    for (;;) {
        auto [ec, socket] = co_await acceptor_.async_accept(no_throw);
        if (ec) co_return;
        boost::system::error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        asio::co_spawn(context_, serve(std::move(socket)), rethrow);
    }
}

asio::awaitable<void> VersionedBackend::pause(std::chrono::microseconds time)
{
    asio::steady_timer timer(context_, time);
    co_await timer.async_wait(no_throw);
}

asio::awaitable<void> VersionedBackend::pause_by_chance()
{
    const auto most = random_() % 20 == 0 ? options_.long_delay : options_.usual_delay;
    const std::chrono::microseconds time(random_() % static_cast<std::uint64_t>(most.count() + 1));
    if (time.count() > 100) co_await pause(time);
}

asio::awaitable<void> VersionedBackend::serve(tcp::socket socket)
{
    std::string buffer;
    Incoming message;
    for (;;) {
        const bool read = co_await read_message(socket, buffer, message);
        if (!read) co_return;
        const std::string_view line = message.head.substr(0, message.head.find("\r\n"));
        const bool is_write = line.starts_with("PUT ");
        const std::size_t from = line.find(' ') + 1;
        const std::string_view target = line.substr(from, line.find(' ', from) - from);
        std::string path = decode_path(target.substr(0, target.find('?')));
        const std::uint32_t write_id = number(find_field(message.head, "X-Write-Id"), 0);
        const int replica = static_cast<int>(number(find_field(message.head, "X-Replica"), 0));
        buffer.erase(0, message.size);
        bool keep = false;
        if (is_write)
            keep = co_await serve_write(socket, std::move(path), write_id, replica);
        else
            keep = co_await serve_read(socket, std::move(path));
        if (!keep) co_return;
    }
}

asio::awaitable<bool> VersionedBackend::serve_read(tcp::socket& socket, std::string path)
{
    co_await pause_by_chance();
    std::string body;
    const std::size_t slash = path.rfind('/');
    const std::uint32_t item = number(std::string_view(path).substr(slash + 1), UINT32_MAX);
    if (path == "/items") {
        body = "list";
        for (const std::uint32_t version : versions_) body += " " + std::to_string(version);
    } else if (item < versions_.size() && (path.starts_with("/items/") || path.starts_with("/details/"))) {
        body = "item " + std::to_string(item) + " " + std::to_string(versions_[item]) + " " + padding_;
    }
    co_await pause_by_chance();
    const std::string text = body.empty() ? answer(404, "Not Found", "") : answer(200, "OK", body);
    co_return co_await write_all(socket, text);
}

asio::awaitable<bool> VersionedBackend::serve_write(tcp::socket& socket, std::string path, std::uint32_t write_id,
                                                    int replica)
{
    const std::uint32_t item = number(std::string_view(path).substr(path.rfind('/') + 1), UINT32_MAX);
    if (item >= versions_.size()) co_return false;
    spring(Phase::arrived, replica);
    co_await pause_by_chance();
    const bool late = chance(options_.late_per_mille);
    if (late) co_await pause(options_.hang);
    const std::uint32_t version = ++versions_[item];
    commits_.push_back({precise_time(), version, write_id, static_cast<std::uint16_t>(item)});
    spring(Phase::committed, replica);
    if (chance(options_.reset_per_mille)) {
        boost::system::error_code ignored;
        socket.set_option(asio::socket_base::linger(true, 0), ignored);
        socket.close(ignored);
        co_return false;
    }
    co_await pause_by_chance();
    if (late || chance(options_.hang_per_mille)) {
        if (!late) co_await pause(options_.hang);
        co_return false;
    }
    std::string text = answer(200, "OK", "done " + std::to_string(version));
    if (chance(options_.fail_per_mille)) text = answer(500, "Internal Server Error", "done all the same");
    const bool written = co_await write_all(socket, text);
    spring(Phase::answered, replica);
    co_return written;
}

}  // namespace larder::tests
