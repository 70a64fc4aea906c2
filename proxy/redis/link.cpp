#include "proxy/redis/link.hpp"

#include <array>
#include <boost/asio/post.hpp>

#include "proxy/net/clock.hpp"
#include "proxy/net/waiter.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/redis/link_news.hpp"
#include "proxy/redis/side_connection.hpp"

namespace larder::proxy {

namespace {

using rules::Errc;
using rules::Milliseconds;
using rules::Result;

constexpr std::size_t output_keep_bytes = 1024 * 1024;
constexpr std::size_t output_limit_bytes = 64 * 1024 * 1024;
constexpr Milliseconds role_every{1000};
constexpr std::chrono::seconds log_every{1};

/// An error of Redis without the words of the command that it repeats: a password may be among them, or what is stored.
std::string_view without_arguments(std::string_view error) noexcept
{
    return error.substr(0, error.find(", with args beginning with"));
}

/// The user may not run a command, or not in a script, which Redis says otherwise in each version.
bool lacks_permission(std::string_view error) noexcept
{
    for (const std::string_view words : {"NOPERM", "ACL failure in script", "can't run this command"})
        if (error.find(words) != std::string_view::npos) return true;
    return false;
}

asio::awaitable<Result<Reply>> failed(Errc why) { co_return why; }

/// Lets `append` append commands. When memory runs out, none of them: half of one would have the next for its rest.
template <class Append>
void append_whole(std::string& out, Append append)
{
    const std::size_t before = out.size();
    try {
        append();
    } catch (...) {
        out.resize(before);
        throw;
    }
}

}  // namespace

Link::Link(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store, const TlsContext* tls,
           Counters& counters, Locator& locator)
    : context_(context),
      wheel_(wheel),
      store_(store),
      tls_(store.tls ? tls : nullptr),
      counters_(counters),
      locator_(locator),
      timer_(context),
      pause_timer_(context),
      random_(std::random_device{}())
{
    counters_.store_links.fetch_add(1, std::memory_order_relaxed);
    locator_.on_moved = [this] { relocate(); };
}

Link::~Link()
{
    locator_.on_moved = nullptr;
    while (oldest_) {
        LinkOperation* operation = oldest_;
        oldest_ = operation->next_;
        operation->abandon();
    }
}

asio::awaitable<void> Link::run()
{
    while (!breaker_.is_stopped()) {
        const Located located = co_await locator_.locate();
        if (!breaker_.attempt()) break;
        if (located.trouble.empty()) {
            server_ = located.endpoint.to_string();
            co_await attempt(located.endpoint);
        } else {
            server_.clear();
            log_down(located.trouble, true);
        }
        breaker_.fail(instant_now());
        if (!breaker_.is_stopped()) co_await pause();
    }
}

// One connection, from the attempt to its end.
asio::awaitable<void> Link::attempt(const config::Endpoint& server)
{
    Transport transport(context_);
    transport_ = &transport;
    const Errc connected = co_await transport.connect(server, tls_, server.host, store_.connect_timeout, wheel_);
    std::string refused;
    if (connected != Errc::ok) {
        refused = connect_reason(connected);
    } else if (is_wanted()) {
        role_is_told_ = false;
        refused = co_await set_up(transport);
    }
    if (refused.empty()) {
        if (breaker_.succeed(instant_now())) co_await run_replies(transport);
    } else if (is_wanted()) {
        log_down(refused, connected == Errc::ok);
        locator_.distrust(Redirect{});
    }
    transport_ = nullptr;
    transport.close();
}

// Another server has been named.
void Link::relocate()
{
    if (breaker_.is_stopped()) return;
    breaker_.relocate();
    pause_timer_.cancel();
    if (breaker_.is_closed())
        end(Errc::store_unreachable);
    else if (transport_)
        transport_->abort(Errc::store_unreachable);
}

void Link::stop() noexcept
{
    if (breaker_.is_stopped()) return;
    const bool was_closed = breaker_.is_closed();
    breaker_.stop();
    pause_timer_.cancel();
    timer_.cancel();
    if (was_closed)
        end(Errc::shutting_down);
    else if (transport_)
        transport_->abort(Errc::shutting_down);
}

asio::awaitable<void> Link::pause()
{
    std::uniform_real_distribution<double> chance(0, 1);
    const Milliseconds pause = breaker_.pause(chance(random_));
    if (pause.count() == 0) co_return;
    pause_timer_.expires_after(pause);
    co_await pause_timer_.async_wait(no_throw);
}

// Log in, choose the database, and see that the server is ready for commands. Empty: it is; else why not.
asio::awaitable<std::string> Link::set_up(Transport& transport)
{
    reader_.reset();
    out_.clear();
    written_ = 0;
    std::vector<std::string_view> steps;
    if (append_login(out_, store_.user, store_.password)) steps.push_back("AUTH");
    const std::string database = std::to_string(store_.database);
    if (store_.database != 0) {
        const std::string_view select[] = {"SELECT", database};
        append_command(out_, select);
        steps.push_back("SELECT");
    }
    const std::string_view set_name[] = {"CLIENT", "SETNAME", "larder"};
    append_command(out_, set_name);
    steps.push_back("CLIENT SETNAME");
    const std::string_view role[] = {"ROLE"};
    append_command(out_, role);
    steps.push_back("ROLE");
    const std::string_view ping[] = {"PING"};  // a server that is still loading says so here
    append_command(out_, ping);
    steps.push_back("PING");

    TransportDeadline deadline(transport);
    deadline.arm(wheel_, store_.connect_timeout, Errc::store_timeout);

    const std::string commands = std::exchange(out_, {});
    std::string reason;
    std::size_t answered = 0;
    bool open = co_await transport.write_all(commands);
    while (open && answered < steps.size()) {
        const IoTry tried = transport.try_read(reader_.room());
        if (tried.blocked()) {
            open = co_await transport.wait(tried.wait_for);
            continue;
        }
        if (!tried.ok()) break;
        reader_.received(tried.bytes);
        Reply reply;
        while (answered < steps.size() && reader_.next(reply)) {
            const std::string_view step = steps[answered];
            if (step == "ROLE") {
                // A replica's counter lags behind: no look at it proves anything. Who may not ask goes on.
                role_is_told_ = !reply.is_error();
                if (reason.empty() && reply.is_array() && !reply.elements.empty() && reply.elements[0].text != "master")
                    reason.append("the server is no master: ").append(reply.elements[0].text);
            } else if (step == "CLIENT SETNAME") {
                // A name for `CLIENT LIST` is a courtesy: some managed servers refuse it.
            } else if (reply.is_error() && reason.empty()) {
                reason.append(step).append(": ").append(without_arguments(reply.text));
            }
            ++answered;
        }
        if (reader_.failed()) break;
    }
    if (!reason.empty()) co_return reason;
    if (answered < steps.size()) {
        if (transport.aborted() == Errc::store_timeout) co_return "no answer to the first commands";
        if (reader_.failed()) co_return "does not speak the Redis protocol";
        co_return "connection closed during the first commands";
    }
    co_return reason;
}

asio::awaitable<void> Link::run_replies(Transport& transport)
{
    ++connections_count_;
    logged_reason_.clear();
    write_waits_ = write_waits_for_read_ = false;
    counters_.add(Counter::store_connects);
    counters_.store_links_up.fetch_add(1, std::memory_order_relaxed);
    log_up();
    if (role_is_told_ && locator_.role_must_be_asked()) role_poll_.arm();

    while (breaker_.is_closed()) {
        const std::span<char> room = reader_.room();
        const IoTry tried = transport.try_read(room);
        if (tried.ok()) {
            const rules::Instant now = instant_now();
            reader_.received(tried.bytes);
            while (breaker_.is_closed() && take_reply(now)) {}
            if (breaker_.is_closed() && reader_.failed()) lose(Errc::store_malformed, "reply could not be understood");
            // A short read emptied a plain socket: the next try would only say so.
            if (tried.bytes == room.size() || transport.is_tls()) continue;
        } else if (!tried.blocked()) {
            if (breaker_.is_closed()) lose(Errc::store_unreachable, "connection closed");
            break;
        }
        if (!breaker_.is_closed()) break;
        if (write_waits_for_read_ && tried.blocked()) {
            write_waits_for_read_ = false;
            write_some();
            if (!breaker_.is_closed()) break;
        }
        const Direction direction = tried.ok() ? Direction::read : tried.wait_for;
        const bool ready = co_await transport.wait(direction);
        if (!ready && breaker_.is_closed()) lose(Errc::store_unreachable, "connection closed");
    }
}

/// False: there is no whole one, or it cannot be understood.
bool Link::take_reply(rules::Instant now)
{
    if (oldest_ && oldest_->texts_ != 0) {
        std::array<std::optional<std::string_view>, LinkOperation::most_texts> room;
        const std::span texts(room.data(), oldest_->texts_);
        std::unique_ptr<char[]> large;
        if (reader_.next_texts(texts, large)) {
            take_oldest(now).complete_in_place(texts, large);
            return true;
        }
    }
    if (!reader_.next(*delivered_)) return false;
    deliver(std::move(delivered_), now);
    return true;
}

/// The operation whose reply has come.
LinkOperation& Link::take_oldest(rules::Instant now)
{
    LinkOperation* const operation = oldest_;
    oldest_ = operation->next_;
    if (!oldest_) newest_ = nullptr;

    const auto took = now - operation->sent_;
    counters_.add_store_operation(operation->operation_, took);
    if (store_.slow_log.count() != 0 && took > store_.slow_log) {
        counters_.add(Counter::store_slow);
        if (now - slow_logged_ > log_every) {
            slow_logged_ = now;
            const auto milliseconds = std::chrono::duration_cast<Milliseconds>(took).count();
            log_event(config::LogLevel::warn, "store operation was slow",
                      {{"operation", word(operation->operation_)},
                       {"milliseconds", static_cast<std::int64_t>(milliseconds)},
                       {"server", std::string_view(server_)}});
        }
    }
    return *operation;
}

void Link::deliver(Result<Reply>&& reply, rules::Instant now)
{
    if (!oldest_) return lose(Errc::store_malformed, "a reply that nobody asked for");
    if (oldest_->earlier_ > 0) {
        --oldest_->earlier_;
        oldest_->take_earlier(*reply);
        return heed_error(*reply, now);
    }
    LinkOperation& operation = take_oldest(now);
    heed_error(*reply, now);
    operation.complete(std::move(reply));
}

void Link::heed_error(const Reply& reply, rules::Instant now)
{
    // NOSCRIPT is part of the talk with a server that has just started.
    if (!reply.is_error() || reply.text.starts_with("NOSCRIPT")) return;
    counters_.add(Counter::store_errors);
    heed(read_redirect(reply.text), reply.text, now);
}

// An error reply may say that the data is elsewhere. No redirect is followed: the operation fails, its request passes
// by, and what is trusted again is found by the locator.
void Link::heed(const Redirect& redirect, std::string_view error, rules::Instant now)
{
    using Kind = Redirect::Kind;
    const bool of_cluster = redirect.kind == Kind::moved || redirect.kind == Kind::ask ||
                            redirect.kind == Kind::try_again || redirect.kind == Kind::cluster_down;
    if (of_cluster) counters_.add(Counter::store_redirects);
    switch (redirect.kind) {
    case Kind::moved:
        // The new node is known, or soon will be: no need to wait, unless the old one keeps sending us away.
        breaker_.redirect(now);
        locator_.distrust(redirect);
        return end(Errc::store_unreachable);
    case Kind::replica:
        // Demoted while we were connected: its counter proves nothing any more.
        return lose(Errc::store_unreachable, "the server became a replica", redirect);
    case Kind::cluster_down:
    case Kind::too_few_replicas: locator_.distrust(redirect); break;
    case Kind::none:
    case Kind::ask:
    case Kind::try_again: break;
    }
    log_error(error, now);
}

void Link::log_error(std::string_view text, rules::Instant now)
{
    if (now - error_logged_ <= log_every) return;
    error_logged_ = now;
    constexpr std::string_view remedy = "give the user what the command of `larder acl` says";
    const auto reason = without_arguments(text);
    if (lacks_permission(text))
        log_event(config::LogLevel::warn, "store answered with an error", {{"reason", reason}, {"remedy", remedy}});
    else
        log_event(config::LogLevel::warn, "store answered with an error", {{"reason", reason}});
}

rules::Errc Link::send_error() const noexcept
{
    return breaker_.is_stopped() ? Errc::shutting_down : Errc::store_unreachable;
}

asio::awaitable<Result<Reply>> Link::execute(std::span<const std::string_view> args, StoreOperation operation)
{
    if (!breaker_.is_closed()) {
        counters_.add(Counter::store_errors);
        return failed(send_error());
    }
    auto start = [this, args, operation](auto&& handler) {
        using Handler = std::decay_t<decltype(handler)>;
        LinkOperation* waiter = Waiter<LinkOperation, Result<Reply>, Handler>::make(std::move(handler));
        waiter->operation_ = operation;
        if (send(*waiter, args)) return;
        // Lost between the call and the await. A completion must not come from within.
        asio::post(context_, [this, waiter] { waiter->complete(send_error()); });
    };
    return asio::async_initiate<decltype(asio::use_awaitable), void(Result<Reply>)>(std::move(start),
                                                                                    asio::use_awaitable);
}

bool Link::send(LinkOperation& operation, std::span<const std::string_view> args)
{
    if (!begin_command()) return false;
    append_whole(out_, [&] { append_command(out_, args); });
    await_reply(operation, 0);
    return true;
}

bool Link::send_all(LinkOperation& operation, std::initializer_list<std::span<const std::string_view>> commands)
{
    if (!begin_command()) return false;
    append_whole(out_, [&] {
        for (const std::span<const std::string_view> args : commands) append_command(out_, args);
    });
    await_reply(operation, commands.size() - 1);
    return true;
}

bool Link::send(LinkOperation& operation, const CommandFrame& frame, std::span<const CommandFrame::Rest> rests)
{
    if (!begin_command()) return false;
    append_whole(out_, [&] { frame.append_to(out_, rests); });
    await_reply(operation, frame.commands_count() - 1);
    return true;
}

/// What is appended to `out_` next leaves at the end of this turn, or when the socket has room again, and has a
/// deadline. That may fail for want of memory, and so comes first: behind a command that nobody waits for, each reply
/// would be taken for another's. False: commands are not taken.
bool Link::begin_command()
{
    if (!breaker_.is_closed() || out_.size() - written_ > output_limit_bytes) {
        counters_.add(Counter::store_errors);
        return false;
    }
    if (!flush_posted_) {
        asio::post(context_, [this] { flush(); });
        flush_posted_ = true;
        turn_time_ = instant_now();
    }
    if (!timer_armed_) arm_timer(store_.timeout);
    return true;
}

void Link::await_reply(LinkOperation& operation, std::size_t earlier) noexcept
{
    operation.earlier_ = static_cast<std::uint8_t>(earlier);
    operation.sent_ = turn_time_;
    operation.next_ = nullptr;
    if (newest_)
        newest_->next_ = &operation;
    else
        oldest_ = &operation;
    newest_ = &operation;
}

void Link::flush()
{
    flush_posted_ = false;
    if (breaker_.is_closed() && !write_waits_ && !write_waits_for_read_) write_some();
}

void Link::write_some()
{
    ++batch_;
    while (written_ < out_.size()) {
        const iovec piece{out_.data() + written_, out_.size() - written_};
        const IoTry tried = transport_->try_write({&piece, 1});
        if (tried.ok() && tried.bytes > 0) {
            written_ += tried.bytes;
            continue;
        }
        if (!tried.blocked()) return lose(Errc::store_unreachable, "connection closed");
        if (written_ > output_keep_bytes) {  // under a constant backlog nobody else forgets what is sent
            out_.erase(0, written_);
            written_ = 0;
        }
        if (tried.wait_for == Direction::read) {
            write_waits_for_read_ = true;
            return;
        }
        write_waits_ = true;
        transport_->when_ready(Direction::write, [this, connection = connections_count_](bool ready) {
            if (!breaker_.is_closed() || connection != connections_count_) return;
            write_waits_ = false;
            if (!ready) return lose(Errc::store_unreachable, "connection closed");
            write_some();
        });
        return;
    }
    written_ = 0;
    if (out_.capacity() > output_keep_bytes)
        out_ = std::string();
    else
        out_.clear();
}

// One timer for the oldest operation. It is not moved when that one is answered: at most one expiry per deadline
// length.
void Link::arm_timer(std::chrono::nanoseconds after)
{
    timer_.expires_after(after);
    timer_.async_wait([this](error_code ec) {
        timer_armed_ = false;
        if (!ec && !breaker_.is_stopped()) on_timer();
    });
    timer_armed_ = true;
}

void Link::on_timer()
{
    if (!oldest_) return;
    const auto left = oldest_->sent_ + store_.timeout - instant_now();
    if (left.count() > 0) return arm_timer(left);
    lose(Errc::store_timeout, "an operation missed its deadline");
}

// The connection is of no use any more.
void Link::lose(Errc why, std::string_view reason, const Redirect& doubt)
{
    if (!breaker_.is_closed()) return;
    log_down(reason, false);
    locator_.distrust(doubt);
    end(why);
}

void Link::end(Errc why)
{
    breaker_.fail(instant_now());
    out_ = std::string();
    written_ = 0;
    role_poll_.disarm();
    counters_.store_links_up.fetch_sub(1, std::memory_order_relaxed);
    if (why != Errc::shutting_down) counters_.add(Counter::store_downs);
    transport_->abort(why);
    fail_all(why);
}

void Link::fail_all(Errc why)
{
    LinkOperation* operation = std::exchange(oldest_, nullptr);
    newest_ = nullptr;
    while (operation) {
        LinkOperation* next = operation->next_;
        if (why != Errc::shutting_down) counters_.add(Counter::store_errors);
        if (why == Errc::store_timeout) counters_.add(Counter::store_timeouts);
        operation->complete(why);
        operation = next;
    }
}

void Link::RolePoll::arm() { Deadline::arm(link_.wheel_, role_every); }

void Link::RolePoll::on_expiry() noexcept
{
    constexpr std::string_view args[] = {"ROLE"};
    if (link_.breaker_.is_closed() && !link_.send(*this, args)) arm();
}

void Link::RolePoll::complete(Result<Reply>&& reply)
{
    if (!reply || !link_.breaker_.is_closed()) return;  // the next connection begins anew
    const bool told = reply->is_array() && !reply->elements.empty();
    if (told && reply->elements[0].text != "master") {
        Redirect doubt;
        doubt.kind = Redirect::Kind::replica;
        return link_.lose(Errc::store_unreachable, "the server became a replica", doubt);
    }
    arm();
}

void Link::log_up()
{
    const bool moved = !last_server_.empty() && last_server_ != server_;
    if (moved) counters_.add(Counter::store_failovers);
    if (moved && link_news().is_news_that_moved(last_server_, server_))
        log_event(config::LogLevel::warn, "store has moved",
                  {{"store", std::string_view(store_.url_for_display)},
                   {"from", std::string_view(last_server_)},
                   {"to", std::string_view(server_)}});
    last_server_ = server_;
    if (link_news().is_news_that_up(server_)) log_state(config::LogLevel::info, "store is up", {});
}

// Once when a server goes away; once more when one is there and says why it will not have us.
void Link::log_down(std::string_view reason, bool from_server)
{
    const bool first = link_news().is_news_that_down(server_);
    if (!first && !(from_server && logged_reason_ != reason)) return;
    logged_reason_ = reason;
    log_state(config::LogLevel::error, "store is down", reason);
}

void Link::log_state(config::LogLevel level, std::string_view event, std::string_view reason)
{
    // A URL with one address names the server already.
    const std::string_view store = store_.url_for_display, server = server_;
    const bool named = !server.empty() && store_.topology != config::StoreTopology::single;
    if (named && reason.empty())
        log_event(level, event, {{"store", store}, {"server", server}});
    else if (named)
        log_event(level, event, {{"store", store}, {"server", server}, {"reason", reason}});
    else if (reason.empty())
        log_event(level, event, {{"store", store}});
    else
        log_event(level, event, {{"store", store}, {"reason", reason}});
}

}  // namespace larder::proxy
