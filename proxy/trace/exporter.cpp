#include "proxy/trace/exporter.hpp"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <deque>
#include <future>
#include <random>
#include <thread>

#include "proxy/net/clock.hpp"
#include "proxy/net/pause.hpp"
#include "proxy/net/tasks.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/trace/otlp.hpp"
#include "proxy/upstream/fetch.hpp"
#include "rules/base/text.hpp"
#include "rules/http/date.hpp"

namespace larder::proxy {

using config::LogLevel;
using rules::Errc;
using rules::Milliseconds;

namespace {

constexpr Milliseconds first_back_off{500}, longest_back_off{5'000}, shortest_delay{5};
constexpr std::size_t answer_limit_bytes = 64 * 1024;

/// The collector is asked by the client that asks the app.
config::Upstream as_upstream(const config::Tracing& options)
{
    config::Upstream upstream;
    upstream.endpoint = options.address;
    upstream.tls = options.tls;
    upstream.host_header = options.host_header;
    upstream.ca_file = options.ca_file;
    upstream.connect_timeout = upstream.first_byte_timeout = upstream.idle_timeout = options.timeout;
    upstream.pool_size = 1;
    return upstream;
}

ResourceAttributes resource_of(const config::Config& config)
{
    const config::Tracing& options = config.tracing;
    ResourceAttributes all{{"service.name", options.service_name}};
    const auto add = [&](const std::string& key, std::string value) {
        const bool is_given = std::any_of(options.resource.begin(), options.resource.end(),
                                          [&](const auto& attribute) { return attribute.first == key; });
        if (!is_given) all.emplace_back(key, std::move(value));
    };
    add("service.version", LARDER_VERSION);
    char host[256] = {};
    if (::gethostname(host, sizeof host - 1) == 0) add("host.name", host);
    add("larder.namespace", config.namespace_);
    all.insert(all.end(), options.resource.begin(), options.resource.end());
    return all;
}

/// All of the request's head that is the same for each.
std::string head_of(const config::Tracing& options)
{
    std::string head = "POST " + options.target + " HTTP/1.1\r\nHost: " + options.host_header + "\r\n";
    head += "User-Agent: larder/" LARDER_VERSION "\r\nContent-Type: ";
    head += content_type(options.protocol);
    head += "\r\n";
    for (const auto& [name, value] : options.headers) head += name + ": " + value + "\r\n";
    return head;
}

/// What one attempt to export has come to.
struct Attempt {
    bool done = false;
    bool may_retry = false;
    std::string why;  // not done: in words
    std::optional<Milliseconds> retry_after;
    PartialSuccess partial;
};

/// Retry-After in either form (RFC 9110 §10.2.3).
std::optional<Milliseconds> retry_after(const rules::Fields& answer)
{
    const rules::Field* field = answer.find("Retry-After");
    if (!field) return std::nullopt;
    if (const auto seconds = rules::parse_digits(field->value))
        return Milliseconds{static_cast<std::int64_t>(std::min<std::uint64_t>(*seconds, 3600)) * 1000};
    const rules::WallTime now = wall_now();
    const auto date = rules::parse_date(field->value, now);
    if (!date) return std::nullopt;
    return std::max(Milliseconds{0}, std::chrono::duration_cast<Milliseconds>(rules::WallTime{*date} - now));
}

}  // namespace

class SpanExporter::State {
  public:
    explicit State(config::ConfigPtr config)
        : config_(std::move(config)),
          options_(config_->tracing),
          upstream_(as_upstream(options_)),
          pool_(context_, upstream_, wheel_, connection_counts_, inflight_),
          request_head_(head_of(options_)),
          resource_(resource_of(*config_)),
          room_(options_.queue_size, options_.batch_size, [this] { tell_batch(); })
    {
    }

    SpanQueue& make_queue()
    {
        queues_.push_back(std::make_unique<SpanQueue>(room_));
        return *queues_.back();
    }
    const config::Tracing& options() const noexcept { return options_; }

    void start()
    {
        log_event(
            LogLevel::info, "spans are exported",
            {{"endpoint", std::string_view(options_.endpoint)}, {"service", std::string_view(options_.service_name)}});
        ended_ = ending_.get_future();
        tasks_.spawn("span exporter", run());
        thread_ = std::thread([this] {
            context_.run();
            ending_.set_value();
        });
    }

    /// False: something still waits that cannot be ended (a look-up of a name), and borrows from here.
    bool stop(Milliseconds patience)
    {
        if (!thread_.joinable()) return true;
        asio::post(context_, [this, patience] {
            stopping_ = true;
            last_.arm(wheel_, patience);
            pause_.end();
        });
        constexpr Milliseconds grace{200};
        if (ended_.wait_for(patience + grace) != std::future_status::ready) context_.stop();
        thread_.join();
        return tasks_.running() == 0;
    }

    TraceCounts counts() const noexcept
    {
        TraceCounts counts;
        counts.exported = exported_;
        counts.exports_failed = failed_;
        counts.dropped_queue_full = room_.dropped();
        counts.dropped_export_failed = dropped_failed_;
        counts.dropped_rejected = dropped_rejected_;
        counts.dropped_shutdown = dropped_shutdown_;
        return counts;
    }

  private:
    using Batch = std::vector<std::string>;

    // On a worker's thread.
    void tell_batch()
    {
        asio::post(context_, [this] {
            if (!backing_off_) pause_.end();
        });
    }

    asio::awaitable<void> run()
    {
        const Milliseconds delay = std::max(options_.schedule_delay, shortest_delay);
        for (;;) {
            if (!stopping_ && !room_.has_batch()) co_await pause_.wait(delay);
            const bool last = stopping_;  // set before the queues are emptied: nothing comes behind
            collect();
            while (!waiting_.empty()) {
                Batch batch = next_batch();
                co_await deliver(std::move(batch));
            }
            if (last) break;
        }
        pool_.close_all();
        wheel_.stop();
        tasks_.stop_when_none();
    }

    void collect()
    {
        room_.tell_again();
        for (const auto& queue : queues_)
            for (std::string& span : queue->take()) waiting_.push_back(std::move(span));
    }

    Batch next_batch()
    {
        const auto end =
            waiting_.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(waiting_.size(), options_.batch_size));
        Batch batch(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
        waiting_.erase(waiting_.begin(), end);
        return batch;
    }

    /// Until the collector has it, or it is given up.
    asio::awaitable<void> deliver(Batch batch)
    {
        const std::string body = encode_batch(options_.protocol, resource_, batch);
        const std::string head = request_head_ + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
        const rules::Instant give_up_at = instant_now() + options_.export_timeout;
        Milliseconds back_off = first_back_off;
        for (;;) {
            const auto left = std::chrono::duration_cast<Milliseconds>(give_up_at - instant_now());
            Attempt attempt;
            if (out_of_time_)
                attempt.why = "the process stops";
            else
                co_await try_once(attempt, head, body, std::min(std::max(left, shortest_delay), options_.timeout));
            if (attempt.done) {
                take_success(attempt.partial, batch.size());
                break;
            }
            if (!out_of_time_) take_failure(attempt.why);
            const Milliseconds wait = attempt.retry_after.value_or(Milliseconds{
                std::uniform_int_distribution<std::int64_t>(back_off.count() / 2, back_off.count())(random_)});
            const bool has_time = instant_now() + wait < give_up_at;
            if (stopping_ || !attempt.may_retry || !has_time) {
                (stopping_ ? dropped_shutdown_ : dropped_failed_) += batch.size();
                break;
            }
            back_off = std::min(back_off * 2, longest_back_off);
            backing_off_ = true;
            co_await pause_.wait(wait);
            backing_off_ = false;
        }
        room_.leave(batch.size());
    }

    asio::awaitable<void> try_once(Attempt& attempt, const std::string& head, const std::string& body,
                                   Milliseconds patience)
    {
        Fetch fetch(pool_, read_buffer_, limits_);
        under_way_ = &fetch;
        auto on_expiry = [&fetch] { fetch.abort(Errc::upstream_timeout); };
        DeadlineOf<decltype(on_expiry)> deadline(on_expiry);
        deadline.arm(wheel_, patience);
        Errc error = Errc::ok;
        std::optional<Errc> sent = fetch.send(head, body, true);
        if (!sent) sent = co_await fetch.send_rest();
        error = *sent;
        int status = 0;
        while (error == Errc::ok && status < 200) {
            error = co_await fetch.read_head(false);
            status = fetch.head().status;
            if (status == 101) error = Errc::upstream_malformed;
        }
        std::string answer;
        while (error == Errc::ok) {
            const BodyPiece piece = fetch.next_body();
            if (piece.kind == BodyPiece::Kind::end) break;
            if (piece.kind == BodyPiece::Kind::data) {
                answer.append(piece.data.substr(0, answer_limit_bytes - answer.size()));
            } else if (piece.kind == BodyPiece::Kind::failed) {
                error = piece.error;
            } else {
                co_await fetch.wait_body();
            }
        }
        under_way_ = nullptr;
        if (error != Errc::ok) {
            attempt.why = rules::word(error);
            attempt.may_retry = true;
            co_return;
        }
        attempt.done = status < 300;
        if (attempt.done) {
            attempt.partial = read_partial_success(options_.protocol, answer);
        } else {
            attempt.why = "answered " + std::to_string(status);
            attempt.may_retry = status == 429 || status == 502 || status == 503 || status == 504;
            if (attempt.may_retry) attempt.retry_after = retry_after(fetch.head().fields);
        }
        fetch.finish();
    }

    void take_success(const PartialSuccess& partial, std::size_t count)
    {
        const std::uint64_t rejected = std::min<std::uint64_t>(partial.rejected_count, count);
        exported_ += count - rejected;
        dropped_rejected_ += rejected;
        if (is_away_) {
            is_away_ = false;
            log_event(LogLevel::info, "spans are exported again", {{"endpoint", std::string_view(options_.endpoint)}});
        }
        if ((rejected != 0) == is_rejecting_) return;
        is_rejecting_ = rejected != 0;
        if (is_rejecting_)
            log_event(LogLevel::warn, "the collector rejects spans",
                      {{"endpoint", std::string_view(options_.endpoint)},
                       {"rejected", static_cast<std::int64_t>(rejected)},
                       {"reason", std::string_view(partial.message)}});
    }

    void take_failure(const std::string& why)
    {
        ++failed_;
        if (is_away_) return;
        is_away_ = true;
        log_event(LogLevel::warn, "spans cannot be exported",
                  {{"endpoint", std::string_view(options_.endpoint)}, {"reason", std::string_view(why)}});
    }

    void end_of_time()
    {
        out_of_time_ = true;
        if (under_way_) under_way_->abort(Errc::shutting_down);
        pause_.end();
    }

    struct Last final : Deadline {
        explicit Last(State& state) : state(state) {}
        void on_expiry() noexcept override { state.end_of_time(); }
        State& state;
    };

    const config::ConfigPtr config_;
    const config::Tracing& options_;
    const config::Upstream upstream_;
    asio::io_context context_{1};
    Tasks tasks_{context_};
    DeadlineWheel wheel_{context_};
    Counters connection_counts_{0};  // what the pool counts is not the app's
    InflightLimit inflight_;
    UpstreamPool pool_;
    const rules::HeadLimits limits_{};
    std::vector<char> read_buffer_ = std::vector<char>(16 * 1024);
    const std::string request_head_;
    const ResourceAttributes resource_;
    SpanRoom room_;
    std::vector<std::unique_ptr<SpanQueue>> queues_;
    std::deque<std::string> waiting_;
    std::minstd_rand random_{std::random_device{}()};  // of back-offs

    Pause pause_{context_, wheel_};
    Fetch* under_way_ = nullptr;
    Last last_{*this};
    bool backing_off_ = false;
    bool stopping_ = false;
    bool out_of_time_ = false;
    bool is_away_ = false;
    bool is_rejecting_ = false;
    std::atomic<std::uint64_t> exported_{0}, failed_{0}, dropped_failed_{0}, dropped_rejected_{0}, dropped_shutdown_{0};

    std::promise<void> ending_;
    std::future<void> ended_;
    std::thread thread_;
};

SpanExporter::SpanExporter(config::ConfigPtr config) : state_(std::make_unique<State>(std::move(config))) {}

SpanExporter::~SpanExporter()
{
    stop(Milliseconds{0});
    if (!is_clean_) (void)state_.release();  // left to the end of the process
}

const config::Tracing& SpanExporter::options() const noexcept { return state_->options(); }
SpanQueue& SpanExporter::make_queue() { return state_->make_queue(); }
void SpanExporter::start() { state_->start(); }
TraceCounts SpanExporter::counts() const noexcept { return state_->counts(); }

void SpanExporter::stop(Milliseconds patience) { is_clean_ = state_->stop(patience) && is_clean_; }

}  // namespace larder::proxy
