#include "tests/support/scripted_origin.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

namespace larder::tests {

namespace {

constexpr std::size_t kept_body_bytes = 64 * 1024;

std::string in_chunks(std::string_view body, std::size_t piece_bytes)
{
    std::string text;
    while (!body.empty()) {
        const std::string_view piece = body.substr(0, piece_bytes);
        char size[24];
        std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
        text.append(size).append(piece).append("\r\n");
        body.remove_prefix(piece.size());
    }
    return text;
}

}  // namespace

template <class Change>
Route& Route::change(Change change)
{
    const std::lock_guard lock(origin_.mutex_);
    change(script_);
    return *this;
}

Route& Route::reply(int status, const std::string& cache_control, const std::string& body)
{
    return change([&](Script& script) {
        script.status = status;
        std::erase_if(script.headers, [](const auto& header) { return header.first == "Cache-Control"; });
        if (!cache_control.empty()) script.headers.emplace_back("Cache-Control", cache_control);
        script.body = body;
        script.numbered = false;
    });
}

Route& Route::header(const std::string& name, const std::string& value)
{
    return change([&](Script& script) {
        if (name != "Set-Cookie")
            std::erase_if(script.headers, [&](const auto& header) { return header.first == name; });
        script.headers.emplace_back(name, value);
    });
}

Route& Route::chunked(std::size_t piece_bytes)
{
    return change([&](Script& script) {
        script.framing = Script::Framing::chunked;
        script.piece_bytes = piece_bytes;
    });
}

Route& Route::trailer(const std::string& name, const std::string& value)
{
    return change([&](Script& script) { script.trailers.emplace_back(name, value); });
}

Route& Route::until_close()
{
    return change([](Script& script) { script.framing = Script::Framing::until_close; });
}

Route& Route::interim(const std::string& bytes)
{
    return change([&](Script& script) { script.interim = bytes; });
}

Route& Route::cut_after(std::size_t body_bytes)
{
    return change([&](Script& script) { script.cut_after = body_bytes; });
}

Route& Route::early()
{
    return change([](Script& script) { script.early = true; });
}

Route& Route::generated(std::uint64_t size)
{
    return change([&](Script& script) { script.generated = size; });
}

Route& Route::raw(const std::string& bytes)
{
    return change([&](Script& script) { script.raw = bytes; });
}

Route& Route::silent()
{
    return change([](Script& script) { script.silent = true; });
}

Route& Route::drop()
{
    return change([](Script& script) { script.drop = true; });
}

Route& Route::handle(Handler handler)
{
    return change([&](Script& script) { script.handler = std::move(handler); });
}

Route& Route::hold()
{
    const std::lock_guard lock(origin_.mutex_);
    held_ = true;
    return *this;
}

ScriptedOrigin::ScriptedOrigin(Kind kind, const std::string& unix_path, std::optional<Certificates> certificates)
{
    if (kind == Kind::tls) tls_ = make_server_context(certificates ? *certificates : make_certificates());
    if (kind == Kind::unix_socket) {
        listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
        ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    } else {
        listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
        socklen_t size = sizeof address;
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
    }
    if (::listen(listener_, 1024) != 0) throw std::runtime_error("the scripted origin cannot listen");
    acceptor_ = std::thread([this] { run_accept(); });
}

ScriptedOrigin::~ScriptedOrigin()
{
    stop_listening();
    ::close(listener_);
    for (auto& peer : peers_) peer->thread.join();
}

void ScriptedOrigin::stop_listening()
{
    if (stopping_.exchange(true)) return;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
        const std::lock_guard lock(mutex_);
        for (auto& [path, route] : routes_) route->held_ = false;
    }
    changed_.notify_all();
    for (auto& peer : peers_) {
        const std::lock_guard lock(peer->closing);
        if (!peer->ended && peer->wire) peer->wire->interrupt();
    }
}

void ScriptedOrigin::run_accept()
{
    for (;;) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0 || stopping_) {
            if (fd >= 0) ::close(fd);
            return;
        }
        const int on = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const std::lock_guard lock(mutex_);
        const std::size_t number = ++connections_count_;
        peers_.push_back(std::make_unique<Peer>());
        Peer& peer = *peers_.back();
        peer.thread = std::thread([this, &peer, fd, number] { run_connection(peer, fd, number); });
    }
}

void ScriptedOrigin::run_connection(Peer& peer, int fd, std::size_t number)
{
    SSL* ssl = nullptr;
    if (tls_) {
        ssl = SSL_new(tls_.get());
        SSL_set_fd(ssl, fd);
        const timeval patience{5, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (SSL_accept(ssl) != 1) {  // the client did not like the certificate
            SSL_free(ssl);
            ::close(fd);
            peer.ended = true;
            return;
        }
    }
    {
        const std::lock_guard lock(peer.closing);
        peer.wire = std::make_unique<Wire>(fd, ssl);
        if (stopping_) peer.wire->interrupt();
    }
    Wire& wire = *peer.wire;
    try {
        for (;;) {
            wire.set_limit(milliseconds{-1});
            peer.idle = true;
            if (wire.unread().empty() && !wire.receive()) break;
            peer.idle = false;
            Request request = read_request_head(wire);
            wire.set_limit(6 * step_limit());
            request.connection = number;
            if (!serve(wire, std::move(request))) break;
        }
    } catch (const std::exception&) {
        // The proxy closed or broke the connection; what it should have done is for the test to say.
    }
    const std::lock_guard lock(peer.closing);
    peer.ended = true;
    wire.close();
}

Route* ScriptedOrigin::find_route(const Request& request)
{
    const std::string path = request.target.substr(0, request.target.find('?'));
    for (const std::string& name :
         {request.method + " " + request.target, request.target, request.method + " " + path, path}) {
        if (const auto found = routes_.find(name); found != routes_.end()) return found->second.get();
    }
    return nullptr;
}

bool ScriptedOrigin::serve(Wire& wire, Request request)
{
    Route::Script script;
    std::size_t number = 0;
    Route* route = nullptr;
    std::size_t index = 0;
    {
        const std::lock_guard lock(mutex_);
        route = find_route(request);
        number = route ? ++route->requests_count_ : ++unscripted_[request.method + " " + request.target];
        index = requests_.size();
        requests_.push_back(request);
        if (route) script = route->script_;
        if (!route) script.numbered = true;
    }
    changed_.notify_all();

    if (script.handler) {
        Conversation conversation{request, wire, number};
        script.handler(conversation);
        {
            const std::lock_guard lock(mutex_);
            requests_[index] = request;
        }
        changed_.notify_all();
        return conversation.keep;
    }
    if (!script.early && !script.drop && !script.silent) {
        if (equal_ignoring_case(request.field("Expect"), "100-continue")) wire.send("HTTP/1.1 100 Continue\r\n\r\n");
        read_body(wire, request, kept_body_bytes);
        {
            const std::lock_guard lock(mutex_);
            requests_[index] = request;
        }
        changed_.notify_all();
    }
    if (route) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !route->held_; });
        script = route->script_;
    }
    if (script.numbered) script.body = request.method + " " + request.target + " #" + std::to_string(number);
    const bool keep = answer(wire, request, script);
    if (script.early) {
        // As servers do: closing with bytes unread would reset the connection under the answer.
        wire.shutdown_send();
        while (wire.receive()) wire.unread().clear();
    }
    return keep;
}

bool ScriptedOrigin::answer(Wire& wire, const Request& request, const Route::Script& script)
{
    if (script.drop) return false;
    if (script.silent) {
        wire.set_limit(milliseconds{-1});
        while (wire.receive()) wire.unread().clear();
        return false;
    }
    if (!script.raw.empty()) {
        wire.send(script.raw);
        return false;
    }
    using Framing = Route::Script::Framing;
    const bool bodyless = script.status == 204 || script.status == 304 || request.method == "HEAD";
    std::string head = script.interim + "HTTP/1.1 " + std::to_string(script.status) + " Scripted\r\n";
    for (const auto& [name, value] : script.headers) head += name + ": " + value + "\r\n";
    const std::uint64_t size = script.generated ? *script.generated : script.body.size();
    if (script.framing == Framing::chunked) head += "Transfer-Encoding: chunked\r\n";
    if (script.framing == Framing::length && script.status != 204 && script.status != 304) {
        head += "Content-Length: " + std::to_string(size) + "\r\n";
    }
    const bool close = script.framing == Framing::until_close || script.cut_after || script.early;
    if (close) head += "Connection: close\r\n";
    head += "\r\n";

    std::string body = script.framing == Framing::chunked ? in_chunks(script.body, script.piece_bytes) : script.body;
    if (script.framing == Framing::chunked && !script.generated) {
        body += "0\r\n";
        for (const auto& [name, value] : script.trailers) body += name + ": " + value + "\r\n";
        body += "\r\n";
    }
    if (script.cut_after) body.resize(std::min(body.size(), *script.cut_after));
    if (bodyless) {
        wire.send(head);
        return !close;
    }
    if (!script.generated) {
        wire.send(head + body);
        return !close;
    }
    wire.send(head);
    for (std::uint64_t sent = 0; sent < size;) {
        const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(size - sent, 256 * 1024));
        const std::string piece = pattern_bytes(sent, count);
        wire.send(script.framing == Framing::chunked ? in_chunks(piece, piece.size()) : piece);
        sent += count;
    }
    if (script.framing == Framing::chunked) wire.send("0\r\n\r\n");
    return !close;
}

Route& ScriptedOrigin::on(const std::string& path)
{
    const std::lock_guard lock(mutex_);
    auto& route = routes_[path];
    if (!route) {
        route.reset(new Route(*this));
        route->script_.numbered = true;
    }
    return *route;
}

void ScriptedOrigin::release(const std::string& path)
{
    {
        const std::lock_guard lock(mutex_);
        routes_.at(path)->held_ = false;
    }
    changed_.notify_all();
}

namespace {

bool is_named(const Request& request, const std::string& name)
{
    const std::size_t space = name.find(' ');
    if (space != std::string::npos && request.method != name.substr(0, space)) return false;
    const std::string target = space == std::string::npos ? name : name.substr(space + 1);
    return request.target == target ||
           (target.find('?') == std::string::npos && request.target.substr(0, request.target.find('?')) == target);
}

}  // namespace

std::size_t ScriptedOrigin::requests(const std::string& path) const
{
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::count_if(requests_.begin(), requests_.end(),
                                                  [&](const Request& request) { return is_named(request, path); }));
}

std::size_t ScriptedOrigin::requests() const
{
    const std::lock_guard lock(mutex_);
    return requests_.size();
}

void ScriptedOrigin::await_requests(const std::string& path, std::size_t count) const
{
    await_condition("the origin gets request " + std::to_string(count) + " to " + path,
                    [&] { return requests(path) >= count; });
}

Request ScriptedOrigin::last(const std::string& path) const
{
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(requests_.rbegin(), requests_.rend(),
                                    [&](const Request& request) { return is_named(request, path); });
    if (found == requests_.rend()) throw std::runtime_error("the origin has seen no request to " + path);
    return *found;
}

std::vector<Request> ScriptedOrigin::all() const
{
    const std::lock_guard lock(mutex_);
    return requests_;
}

std::size_t ScriptedOrigin::open_connections() const
{
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(peers_.begin(), peers_.end(), [](const auto& peer) { return !peer->ended; }));
}

std::size_t ScriptedOrigin::close_idle_connections()
{
    const std::lock_guard lock(mutex_);
    std::size_t closed_count = 0;
    for (auto& peer : peers_) {
        const std::lock_guard closing(peer->closing);
        if (peer->ended || !peer->idle || !peer->wire) continue;
        peer->wire->interrupt();
        ++closed_count;
    }
    return closed_count;
}

}  // namespace larder::tests
