// A redis-server of the test's own, in a directory of its own, and a loop that runs coroutines against it. The server
// dies with the test. Readiness is read from its output: nothing here sleeps.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/net/deadline.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/redis/acl.hpp"
#include "proxy/redis/keyspace.hpp"
#include "proxy/redis/link.hpp"
#include "tests/unit/proxy/hiredis_reply.hpp"

namespace larder::proxy::test {

/// A directory that goes away with the test.
class ScratchDirectory {
  public:
    ScratchDirectory()
    {
        std::string name = (std::filesystem::temp_directory_path() / "larder-redis-XXXXXX").string();
        if (!::mkdtemp(name.data())) throw std::runtime_error("no scratch directory");
        path_ = name;
    }
    ~ScratchDirectory()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    std::string file(const std::string& name) const { return (path_ / name).string(); }

  private:
    std::filesystem::path path_;
};

class RedisServer {
  public:
    using Options = std::vector<std::string>;

    /// Always listens on a unix socket; more as the options say. Ready when this returns.
    explicit RedisServer(Options options = {}) : options_(std::move(options)) { start(); }
    ~RedisServer() { stop(); }
    RedisServer(const RedisServer&) = delete;
    RedisServer& operator=(const RedisServer&) = delete;

    void start()
    {
        int output[2];
        if (::pipe2(output, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
        std::vector<std::string> words = {
            "redis-server", "--port", "0",     "--unixsocket",      socket(),       "--save", "",
            "--daemonize",  "no",     "--dir", directory_.file(""), "--appendonly", "no"};
        words.insert(words.end(), options_.begin(), options_.end());
        std::vector<char*> arguments;
        for (std::string& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        const pid_t parent = ::getpid();
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() != parent) ::_exit(1);
            ::dup2(output[1], 1);
            ::execvp("redis-server", arguments.data());
            ::_exit(127);
        }
        ::close(output[1]);
        output_ = output[0];
        wait_until_ready();
    }

    void stop()
    {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = -1;
        ::close(output_);
    }
    void pause() const { ::kill(pid_, SIGSTOP); }
    void resume() const { ::kill(pid_, SIGCONT); }

    std::string socket() const { return directory_.file("redis.sock"); }

    /// Runs one command as the administrator. Words are separated by the caller.
    Reply admin(const std::vector<std::string>& words, int database = 0) const
    {
        std::unique_ptr<redisContext, decltype(&redisFree)> context(redisConnectUnix(socket().c_str()), redisFree);
        if (!context || context->err) throw std::runtime_error("admin: cannot connect");
        if (database != 0) run(context.get(), {"SELECT", std::to_string(database)});
        return run(context.get(), words);
    }
    std::string admin_text(const std::vector<std::string>& words) const { return admin(words).text; }
    /// The number behind `field:` in INFO.
    long info(const std::string& section, const std::string& field) const
    {
        const std::string text = admin_text({"INFO", section});
        const auto at = text.find("\n" + field + ":");
        return at == std::string::npos ? -1 : std::atol(text.c_str() + at + field.size() + 2);
    }

  private:
    void wait_until_ready()
    {
        std::string seen;
        const auto deadline = instant_now() + std::chrono::seconds(20);
        while (seen.find("accept connections") == std::string::npos) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - instant_now()).count();
            pollfd readable{output_, POLLIN, 0};
            char piece[4096];
            if (left <= 0 || ::poll(&readable, 1, static_cast<int>(left)) <= 0) break;
            const ssize_t n = ::read(output_, piece, sizeof piece);
            if (n <= 0) break;
            seen.append(piece, static_cast<std::size_t>(n));
        }
        if (seen.find("accept connections") == std::string::npos)
            throw std::runtime_error("redis-server did not start: " + seen);
    }

    static Reply run(redisContext* context, const std::vector<std::string>& words)
    {
        std::vector<const char*> texts;
        std::vector<std::size_t> sizes;
        for (const std::string& word : words) {
            texts.push_back(word.data());
            sizes.push_back(word.size());
        }
        std::unique_ptr<redisReply, decltype(&freeReplyObject)> reply(
            static_cast<redisReply*>(
                redisCommandArgv(context, static_cast<int>(words.size()), texts.data(), sizes.data())),
            freeReplyObject);
        if (!reply) throw std::runtime_error("admin: no answer");
        return to_reply(*reply);
    }

    ScratchDirectory directory_;
    Options options_;
    pid_t pid_ = -1;
    int output_ = -1;
};

/// Makes the user that `larder acl` prints, and gives the way to log in as it.
inline void use_acl(const RedisServer& server, config::Store& store, std::string_view prefix)
{
    std::string line = acl_text(prefix, "larder");
    line.replace(line.find(">PASSWORD"), 9, ">secret");
    std::vector<std::string> words;
    for (std::size_t at = 0; at < line.size();) {
        const auto end = std::min(line.find(' ', at), line.size());
        words.push_back(line.substr(at, end - at));
        at = end + 1;
    }
    if (server.admin_text(words) != "OK") throw std::runtime_error("the ACL line is refused: " + line);
    store.user = "larder";
    store.password = "secret";
}

/// What a link needs to reach the server by its unix socket. The deadline is for a loaded machine under sanitizers.
inline config::Store store_at(const RedisServer& server)
{
    config::Store store;
    store.kind = config::StoreKind::redis;
    store.endpoint.unix_path = server.socket();
    store.timeout = std::chrono::seconds(5);
    store.connect_timeout = std::chrono::seconds(5);
    store.url_for_display = "unix://test";
    return store;
}

using LocalSocket = asio::local::stream_protocol::socket;

/// For a test that plays the server: takes a link's connection and answers its first commands (CLIENT SETNAME, ROLE,
/// PING).
inline asio::awaitable<int> greet(asio::local::stream_protocol::acceptor& acceptor, LocalSocket& socket)
{
    co_await acceptor.async_accept(socket, no_throw);
    std::array<char, 1024> input;
    const auto buffer = asio::buffer(input);
    co_await socket.async_read_some(buffer, no_throw);
    const std::string greeting = "+OK\r\n-ERR no role\r\n+PONG\r\n";
    const auto bytes = asio::buffer(greeting);
    co_await asio::async_write(socket, bytes, no_throw);
    co_return 0;
}

/// One worker's loop with a link. The test drives it by hand; the limit is for a test that has gone wrong.
class LinkLoop {
  public:
    explicit LinkLoop(const config::Store& store, const TlsContext* tls = nullptr)
        : wheel(context),
          counters(0),
          topology(make_topology(context, wheel, store, tls, counters, 1)),
          link(context, wheel, store, tls, counters, topology->locator(0))
    {
        ::signal(SIGPIPE, SIG_IGN);
        topology->start(tasks);
        asio::co_spawn(context, link.run(), [this](std::exception_ptr) { ended_ = true; });
    }
    ~LinkLoop()
    {
        link.stop();
        topology->stop();
        run_until([this] { return ended_ && tasks.running() == 0; });
        wheel.stop();
        context.restart();
        context.run_for(std::chrono::seconds(1));
    }

    /// @return false when the limit passed first
    bool run_until(const std::function<bool()>& done, std::chrono::seconds limit = std::chrono::seconds(20))
    {
        const auto end = instant_now() + limit;
        while (!done()) {
            const auto left = end - instant_now();
            if (left <= left.zero()) return false;
            if (context.stopped()) context.restart();
            context.run_one_for(left);
        }
        return true;
    }
    bool connect()
    {
        return run_until([this] { return link.connection() != 0; });
    }
    /// Runs a coroutine to its end.
    template <class T>
    T wait(asio::awaitable<T> task)
    {
        auto result = start(std::move(task));
        if (!run_until([&] { return result->has_value(); })) throw std::runtime_error("a coroutine did not end");
        return std::move(**result);
    }
    template <class T>
    std::shared_ptr<std::optional<T>> start(asio::awaitable<T> task)
    {
        auto result = std::make_shared<std::optional<T>>();
        asio::co_spawn(context, std::move(task), [result](std::exception_ptr failure, T value) {
            if (failure) std::rethrow_exception(failure);
            result->emplace(std::move(value));
        });
        return result;
    }
    /// One command, by value.
    asio::awaitable<rules::Result<Reply>> command(std::vector<std::string> words)
    {
        const std::vector<std::string_view> args(words.begin(), words.end());
        rules::Result<Reply> reply = co_await link.execute(args);
        co_return reply;
    }
    rules::Result<Reply> run(std::vector<std::string> words) { return wait(command(std::move(words))); }

    asio::io_context context{1};
    DeadlineWheel wheel;
    Counters counters;
    Tasks tasks{context};
    std::unique_ptr<Topology> topology;
    Link link;

  private:
    bool ended_ = false;
};

}  // namespace larder::proxy::test
