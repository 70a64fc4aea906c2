#include "proxy/redis/link.hpp"

#include <hiredis/hiredis.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <charconv>
#include <exception>

#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/redis/waiter.hpp"

namespace larder::proxy {

namespace {

using rules::Errc;
using rules::Milliseconds;
using rules::Result;

constexpr std::size_t input_bytes = 64 * 1024;
// hiredis moves what is left of its buffer after each reply: small portions keep that cheap.
constexpr std::size_t feed_bytes = 16 * 1024;
constexpr std::size_t output_keep_bytes = 1024 * 1024;
constexpr std::size_t output_limit_bytes = 64 * 1024 * 1024;
constexpr int elements_limit = 1'000'000;
constexpr Milliseconds back_off_first{100};
constexpr Milliseconds back_off_limit{2000};
constexpr Milliseconds slow_after{100};
constexpr std::chrono::seconds log_every{1};

// Every worker has a link, but the operator reads one line: the first link that changes says so.
enum class Seen { nothing, up, down };
std::atomic<Seen> last_seen{Seen::nothing};

Reply* place(const redisReadTask* task) noexcept
{
    if (!task->parent) return static_cast<Reply*>(task->privdata);
    return &static_cast<Reply*>(task->parent->obj)->elements[static_cast<std::size_t>(task->idx)];
}

// The reader's callbacks. The bytes are copied here: they are dead once redisReaderGetReply returns. No exception may
// pass through C; null makes the reader fail, which closes the connection.
void* make_string(const redisReadTask* task, char* bytes, std::size_t size) noexcept
try {
    Reply* reply = place(task);
    reply->kind = task->type == REDIS_REPLY_ERROR    ? Reply::Kind::error
                  : task->type == REDIS_REPLY_STATUS ? Reply::Kind::status
                                                     : Reply::Kind::text;
    reply->text.assign(bytes, size);
    return reply;
} catch (const std::exception&) {
    return nullptr;
}

void* make_array(const redisReadTask* task, int elements) noexcept
try {
    if (elements < 0 || elements > elements_limit) return nullptr;
    Reply* reply = place(task);
    reply->kind = Reply::Kind::array;
    reply->elements.resize(static_cast<std::size_t>(elements));
    return reply;
} catch (const std::exception&) {
    return nullptr;
}

void* make_integer(const redisReadTask* task, long long value) noexcept
{
    Reply* reply = place(task);
    reply->kind = Reply::Kind::integer;
    reply->integer = value;
    return reply;
}

void* make_nil(const redisReadTask* task) noexcept
{
    Reply* reply = place(task);
    reply->kind = Reply::Kind::nil;
    return reply;
}

void free_nothing(void*) noexcept {}

redisReplyObjectFunctions reply_functions{make_string, make_array, make_integer, make_nil, free_nothing};

asio::awaitable<Result<Reply>> failed(Errc why) { co_return why; }

// The words for a connection attempt that failed: the transport speaks of the upstream.
std::string_view connect_reason(Errc error) noexcept
{
    switch (error) {
    case Errc::upstream_unresolved: return "name could not be resolved";
    case Errc::upstream_refused: return "connection refused";
    case Errc::upstream_connect_timeout: return "connect deadline missed";
    case Errc::upstream_tls: return "TLS handshake failed";
    default: return rules::text(error);
    }
}

void append_number(std::string& out, char kind, std::size_t number)
{
    char digits[24];
    digits[0] = kind;
    char* end = std::to_chars(digits + 1, digits + sizeof digits - 2, number).ptr;
    *end++ = '\r';
    *end++ = '\n';
    out.append(digits, end);
}

}  // namespace

void Link::ReaderDeleter::operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }

Link::Link(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store, const TlsContext* tls,
           Counters& counters)
    : context_(context),
      wheel_(wheel),
      store_(store),
      tls_(store.tls ? tls : nullptr),
      counters_(counters),
      timer_(context),
      input_(input_bytes),
      back_off_timer_(context),
      back_off_(back_off_first),
      random_(std::random_device{}())
{
    counters_.store_links.fetch_add(1, std::memory_order_relaxed);
}

Link::~Link()
{
    while (oldest_) {
        LinkOperation* operation = oldest_;
        oldest_ = operation->next_;
        operation->abandon();
    }
}

asio::awaitable<void> Link::run()
{
    while (!stopping_) {
        {
            Transport transport(context_);
            transport_ = &transport;
            const Errc connected =
                co_await transport.connect(store_.endpoint, tls_, store_.endpoint.host, store_.connect_timeout, wheel_);
            if (connected != Errc::ok) {
                if (!stopping_) log_down(connect_reason(connected), false);
            } else if (!stopping_) {
                const std::string refused = co_await set_up(transport);
                if (!refused.empty() && !stopping_) log_down(refused, true);
                if (refused.empty() && !stopping_) {
                    const rules::Instant since = instant_now();
                    co_await run_replies(transport);
                    // One that died young was no success: the wait goes on growing.
                    if (instant_now() - since > back_off_limit) back_off_ = back_off_first;
                }
            }
            transport_ = nullptr;
            transport.close();
        }
        if (!stopping_) co_await back_off();
    }
}

void Link::stop() noexcept
{
    if (stopping_) return;
    stopping_ = true;
    back_off_timer_.cancel();
    timer_.cancel();
    if (up_)
        lose(Errc::shutting_down, "stopping");
    else if (transport_)
        transport_->abort(Errc::shutting_down);
}

asio::awaitable<void> Link::back_off()
{
    std::uniform_int_distribution<std::int64_t> jitter(back_off_.count() / 2, back_off_.count());
    back_off_timer_.expires_after(Milliseconds{jitter(random_)});
    back_off_ = std::min(back_off_ * 2, back_off_limit);
    co_await back_off_timer_.async_wait(no_throw);
}

// Log in, choose the database, and see that the server is ready for commands. Empty: it is; else why not.
asio::awaitable<std::string> Link::set_up(Transport& transport)
{
    make_reader();
    out_.clear();
    written_ = 0;
    std::vector<std::string_view> steps;
    if (!store_.user.empty()) {
        const std::string_view auth[] = {"AUTH", store_.user, store_.password};
        append(auth);
        steps.push_back("AUTH");
    } else if (!store_.password.empty()) {
        const std::string_view auth[] = {"AUTH", store_.password};
        append(auth);
        steps.push_back("AUTH");
    }
    const std::string database = std::to_string(store_.database);
    if (store_.database != 0) {
        const std::string_view select[] = {"SELECT", database};
        append(select);
        steps.push_back("SELECT");
    }
    const std::string_view set_name[] = {"CLIENT", "SETNAME", "larder"};
    append(set_name);
    steps.push_back("CLIENT SETNAME");
    const std::string_view role[] = {"ROLE"};
    append(role);
    steps.push_back("ROLE");
    const std::string_view ping[] = {"PING"};  // a server that is still loading says so here
    append(ping);
    steps.push_back("PING");

    TransportDeadline deadline(transport);
    deadline.arm(wheel_, store_.connect_timeout, Errc::store_timeout);

    const std::string commands = std::exchange(out_, {});
    std::string reason;
    std::size_t answered = 0;
    bool open = co_await transport.write_all(commands);
    while (open && answered < steps.size()) {
        const IoTry tried = transport.try_read(input_);
        if (tried.blocked()) {
            open = co_await transport.wait(tried.wait_for);
            continue;
        }
        if (!tried.ok() || !feed({input_.data(), tried.bytes})) break;
        Reply reply;
        while (answered < steps.size() && next_reply(reply)) {
            const std::string_view step = steps[answered];
            if (step == "ROLE") {
                // A replica's counter lags behind: no look at it proves anything. Who may not ask goes on.
                if (reason.empty() && reply.is_array() && !reply.elements.empty() && reply.elements[0].text != "master")
                    reason.append("the server is no master: ").append(reply.elements[0].text);
            } else if (step == "CLIENT SETNAME") {
                // A name for `CLIENT LIST` is a courtesy: some managed servers refuse it.
            } else if (reply.is_error() && reason.empty()) {
                reason.append(step).append(": ").append(reply.text);
            }
            ++answered;
        }
        if (reader_->err) break;
    }
    if (!reason.empty()) co_return reason;
    if (answered < steps.size()) {
        if (transport.aborted() == Errc::store_timeout) co_return "no answer to the first commands";
        if (reader_->err) co_return "does not speak the Redis protocol";
        co_return "connection closed during the first commands";
    }
    co_return reason;
}

asio::awaitable<void> Link::run_replies(Transport& transport)
{
    up_ = true;
    ++connections_count_;
    logged_reason_.clear();
    write_waits_ = write_waits_for_read_ = false;
    counters_.add(Counter::store_connects);
    counters_.store_links_up.fetch_add(1, std::memory_order_relaxed);
    if (last_seen.exchange(Seen::up) != Seen::up)
        log_event(config::LogLevel::info, "store is up", {{"store", std::string_view(store_.url_for_display)}});

    while (up_) {
        const IoTry tried = transport.try_read(input_);
        if (tried.ok()) {
            const rules::Instant now = instant_now();
            std::string_view rest(input_.data(), tried.bytes);
            while (up_ && !rest.empty()) {
                const std::string_view portion = rest.substr(0, feed_bytes);
                rest.remove_prefix(portion.size());
                if (!feed(portion)) {
                    lose(Errc::store_malformed, "out of memory");
                    break;
                }
                Reply reply;
                while (up_ && next_reply(reply)) deliver(std::move(reply), now);
                if (up_ && reader_->err) lose(Errc::store_malformed, "reply could not be understood");
            }
            // A short read emptied a plain socket: the next try would only say so.
            if (tried.bytes == input_.size() || transport.is_tls()) continue;
        } else if (!tried.blocked()) {
            if (up_) lose(Errc::store_unreachable, "connection closed");
            break;
        }
        if (!up_) break;
        if (write_waits_for_read_ && tried.blocked()) {
            write_waits_for_read_ = false;
            write_some();
            if (!up_) break;
        }
        const Direction direction = tried.ok() ? Direction::read : tried.wait_for;
        const bool ready = co_await transport.wait(direction);
        if (!ready && up_) lose(Errc::store_unreachable, "connection closed");
    }
}

void Link::make_reader()
{
    reader_.reset(redisReaderCreateWithFunctions(&reply_functions));
    if (!reader_) throw std::bad_alloc();
    reader_->maxbuf = 0;  // else its buffer is given back and made anew around each large value
    reader_->privdata = &root_;
    root_ = Reply{};
}

bool Link::feed(std::string_view bytes)
{
    return redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) == REDIS_OK;
}

bool Link::next_reply(Reply& reply)
{
    void* done = nullptr;
    if (redisReaderGetReply(reader_.get(), &done) != REDIS_OK || !done) return false;
    reply = std::move(root_);
    root_ = Reply{};
    return true;
}

void Link::deliver(Reply&& reply, rules::Instant now)
{
    LinkOperation* operation = oldest_;
    if (!operation) return lose(Errc::store_malformed, "a reply that nobody asked for");
    oldest_ = operation->next_;
    if (!oldest_) newest_ = nullptr;

    const auto took = now - operation->sent_;
    if (took > slow_after) {
        counters_.add(Counter::store_slow);
        if (now - slow_logged_ > log_every) {
            slow_logged_ = now;
            const auto milliseconds = std::chrono::duration_cast<Milliseconds>(took).count();
            log_event(config::LogLevel::warn, "store operation was slow",
                      {{"milliseconds", static_cast<std::int64_t>(milliseconds)}});
        }
    }
    // NOSCRIPT is part of the talk with a server that has just started.
    if (reply.is_error() && !reply.text.starts_with("NOSCRIPT")) {
        counters_.add(Counter::store_errors);
        if (now - error_logged_ > log_every) {
            error_logged_ = now;
            log_event(config::LogLevel::warn, "store answered with an error",
                      {{"reason", std::string_view(reply.text)}});
        }
    }
    // Demoted while we were connected: its counter proves nothing any more.
    if (reply.is_error() && reply.text.find("READONLY") != std::string::npos)
        lose(Errc::store_unreachable, "the server became a replica");
    operation->complete(std::move(reply));
}

rules::Errc Link::send_error() const noexcept { return stopping_ ? Errc::shutting_down : Errc::store_unreachable; }

asio::awaitable<Result<Reply>> Link::execute(std::span<const std::string_view> args)
{
    if (!up_) {
        counters_.add(Counter::store_errors);
        return failed(send_error());
    }
    auto start = [this, args](auto&& handler) {
        using Handler = std::decay_t<decltype(handler)>;
        LinkOperation* waiter = Waiter<LinkOperation, Result<Reply>, Handler>::make(std::move(handler));
        if (send(*waiter, args)) return;
        // Lost between the call and the await. A completion must not come from within.
        asio::post(context_, [this, waiter] { waiter->complete(send_error()); });
    };
    return asio::async_initiate<decltype(asio::use_awaitable), void(Result<Reply>)>(std::move(start),
                                                                                    asio::use_awaitable);
}

bool Link::send(LinkOperation& operation, std::span<const std::string_view> args)
{
    if (!up_ || out_.size() - written_ > output_limit_bytes) {
        counters_.add(Counter::store_errors);
        return false;
    }
    append(args);
    if (!flush_posted_) {
        flush_posted_ = true;
        turn_time_ = instant_now();
        asio::post(context_, [this] { flush(); });
    }
    operation.sent_ = turn_time_;
    operation.next_ = nullptr;
    if (newest_)
        newest_->next_ = &operation;
    else
        oldest_ = &operation;
    newest_ = &operation;
    if (!timer_armed_) arm_timer(turn_time_);
    return true;
}

void Link::append(std::span<const std::string_view> args)
{
    append_number(out_, '*', args.size());
    for (const std::string_view arg : args) {
        append_number(out_, '$', arg.size());
        out_.append(arg).append("\r\n");
    }
}

void Link::flush()
{
    flush_posted_ = false;
    ++turn_;
    if (up_ && !write_waits_ && !write_waits_for_read_) write_some();
}

void Link::write_some()
{
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
        transport_->socket().async_wait(StreamSocket::wait_write,
                                        [this, connection = connections_count_](error_code ec) {
                                            if (!up_ || connection != connections_count_) return;
                                            write_waits_ = false;
                                            if (ec) return lose(Errc::store_unreachable, "connection closed");
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
void Link::arm_timer(rules::Instant now)
{
    timer_armed_ = true;
    timer_.expires_after(oldest_->sent_ + store_.timeout - now);
    timer_.async_wait([this](error_code ec) {
        timer_armed_ = false;
        if (!ec && !stopping_) on_timer();
    });
}

void Link::on_timer()
{
    if (!oldest_) return;
    const rules::Instant now = instant_now();
    if (now - oldest_->sent_ < store_.timeout) return arm_timer(now);
    lose(Errc::store_timeout, "an operation missed its deadline");
}

void Link::lose(Errc why, std::string_view reason)
{
    if (!up_) return;
    up_ = false;
    out_ = std::string();
    written_ = 0;
    counters_.store_links_up.fetch_sub(1, std::memory_order_relaxed);
    if (why != Errc::shutting_down) {
        counters_.add(Counter::store_downs);
        log_down(reason, false);
    }
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

// Once when the store goes away; once more when a server is there and says why it will not have us.
void Link::log_down(std::string_view reason, bool from_server)
{
    const bool first = last_seen.exchange(Seen::down) != Seen::down;
    if (!first && !(from_server && logged_reason_ != reason)) return;
    logged_reason_ = reason;
    log_event(config::LogLevel::error, "store is down",
              {{"store", std::string_view(store_.url_for_display)}, {"reason", reason}});
}

}  // namespace larder::proxy
