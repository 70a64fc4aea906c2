// The app server of a test: it records every request byte for byte and answers as the test has scripted, path by path.
// Over TCP on a free loopback port, over a unix socket, or with TLS. One thread per connection.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "tests/support/certificates.hpp"
#include "tests/support/message.hpp"

namespace larder::tests {

class ScriptedOrigin;

/// What a handler gets when it takes an exchange into its own hands. The request's head has been read, its body not.
struct Conversation {
    Request& request;
    Wire& wire;
    std::size_t number;  // which request to this path this is, from 1
    bool keep = false;   // set it to go on with the connection afterwards
};
using Handler = std::function<void(Conversation&)>;

/// How one path answers. The calls chain: `origin.on("/a").header("ETag", "\"1\"").reply(200, "max-age=60", "hello")`.
/// Changes count for requests whose answer begins later.
class Route {
  public:
    /// @param cache_control  empty: no such field
    Route& reply(int status, const std::string& cache_control, const std::string& body);
    Route& header(const std::string& name, const std::string& value);
    /// Sends the body chunked, in pieces of at most `piece_bytes`.
    Route& chunked(std::size_t piece_bytes = 1000);
    Route& trailer(const std::string& name, const std::string& value);
    /// Sends the body without any length; the end of the connection is its end.
    Route& until_close();
    /// Bytes that go out before the head, such as a whole 103 response.
    Route& interim(const std::string& bytes);
    /// Closes the connection after so many bytes of the (framed) body.
    Route& cut_after(std::size_t body_bytes);
    /// Answers as soon as the request's head is there, does not read the body and closes afterwards.
    Route& early();
    /// Sends `size` bytes of the pattern as body, without keeping them.
    Route& generated(std::uint64_t size);
    /// Sends exactly these bytes as the whole answer, then closes.
    Route& raw(const std::string& bytes);
    /// Says nothing at all and keeps the connection open until the peer closes it.
    Route& silent();
    /// Closes the connection instead of answering.
    Route& drop();
    /// Calls the handler for the exchange.
    Route& handle(Handler handler);
    /// Holds requests back: they are read and recorded, and answered after `release`.
    Route& hold();

  private:
    friend class ScriptedOrigin;
    explicit Route(ScriptedOrigin& origin) : origin_(origin) {}

    struct Script {
        int status = 200;
        std::vector<std::pair<std::string, std::string>> headers, trailers;
        std::string body = "";
        bool numbered = false;  // the body names the number of the request, so that answers can be told apart
        enum class Framing { length, chunked, until_close } framing = Framing::length;
        std::size_t piece_bytes = 1000;
        std::string interim, raw;
        std::optional<std::size_t> cut_after;
        std::optional<std::uint64_t> generated;
        bool early = false, silent = false, drop = false;
        Handler handler;
    };
    template <class Change>
    Route& change(Change change);

    ScriptedOrigin& origin_;
    Script script_;
    bool held_ = false;
    std::size_t requests_count_ = 0;
};

class ScriptedOrigin {
  public:
    enum class Kind { tcp, unix_socket, tls };
    /// @param unix_path  for `unix_socket`
    explicit ScriptedOrigin(Kind kind = Kind::tcp, const std::string& unix_path = "",
                            std::optional<Certificates> certificates = std::nullopt);
    ~ScriptedOrigin();
    ScriptedOrigin(const ScriptedOrigin&) = delete;
    ScriptedOrigin& operator=(const ScriptedOrigin&) = delete;

    std::uint16_t port() const { return port_; }

    /// The script of a path, made at the first call: "/a" for every method, "POST /a" for one, "/a?x=1" for one query.
    /// A path without a script answers 200 with the body "METHOD TARGET #n".
    Route& on(const std::string& path);
    /// Lets held requests of the path go, and later ones pass.
    void release(const std::string& path);

    /// Requests seen, by the name that `on` uses; a path without a query counts all its queries.
    std::size_t requests(const std::string& path) const;
    std::size_t requests() const;
    /// Waits until that many requests have come.
    void await_requests(const std::string& path, std::size_t count) const;
    /// The last request to the path. Throws when there was none.
    Request last(const std::string& path) const;
    std::vector<Request> all() const;
    std::size_t connections() const { return connections_count_; }
    std::size_t open_connections() const;
    /// Closes every connection that waits for a request, and returns how many those were.
    std::size_t close_idle_connections();
    /// Refuses new connections and ends all there are; the port stays taken.
    void stop_listening();

  private:
    friend class Route;
    struct Peer {
        std::unique_ptr<Wire> wire;
        std::thread thread;
        std::atomic<bool> idle{false}, ended{false};
        std::mutex closing;
    };
    void run_accept();
    void run_connection(Peer& peer, int fd, std::size_t number);
    /// Serves one request; false when the connection ends with it.
    bool serve(Wire& wire, Request request);
    bool answer(Wire& wire, const Request& request, const Route::Script& script);
    Route* find_route(const Request& request);

    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::map<std::string, std::unique_ptr<Route>> routes_;
    std::vector<Request> requests_;
    std::map<std::string, std::size_t> unscripted_;
    std::list<std::unique_ptr<Peer>> peers_;
    std::atomic<std::size_t> connections_count_{0};
    std::shared_ptr<SSL_CTX> tls_;
    std::atomic<bool> stopping_{false};
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::thread acceptor_;
};

}  // namespace larder::tests
