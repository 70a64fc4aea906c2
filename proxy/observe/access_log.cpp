#include "proxy/observe/access_log.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "proxy/observe/escape.hpp"
#include "proxy/observe/timestamp.hpp"
#include "rules/base/appender.hpp"

namespace larder::proxy {

namespace {

constexpr std::size_t buffer_bytes = 64 * 1024;
constexpr std::size_t path_limit_bytes = 768;
constexpr std::size_t query_limit_bytes = 256;
constexpr std::size_t host_limit_bytes = 256;
constexpr std::size_t name_limit_bytes = 128;  // rule, request id, method, client
// With the limits above no line is longer, so a line always fits one atomic write to a pipe.
constexpr std::size_t line_limit_bytes = 2560;
static_assert(line_limit_bytes <= PIPE_BUF);

// In seconds, the unit of Prometheus' and nginx' times: 0.001500
void append_seconds(std::string& out, std::chrono::nanoseconds duration)
{
    const auto microseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0)) / 1000;
    rules::append_number(out, microseconds / 1'000'000);
    out += '.';
    rules::append_number(out, microseconds % 1'000'000, 6);
}

// page=2&token=abc -> page=&token=
std::string names_of(std::string_view query)
{
    std::string names;
    while (!query.empty()) {
        const std::string_view parameter = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(parameter.size() + 1, query.size()));
        if (!names.empty()) names += '&';
        (names += parameter.substr(0, parameter.find('='))) += '=';
    }
    return names;
}

// The one list of what a line says, in its order; text and JSON differ in `text`, `number` and `seconds` only.
template <class Text, class Number, class Seconds>
void tell(const AccessLine& line, config::QueryLog query, const Text& text, const Number& number,
          const Seconds& seconds)
{
    const ExchangeCount& count = line.count;
    text("client", line.client, name_limit_bytes);
    text("method", line.method, name_limit_bytes);
    text("path", line.path, path_limit_bytes);
    if (!line.query.empty() && query == config::QueryLog::keep) text("query", line.query, query_limit_bytes);
    if (!line.query.empty() && query == config::QueryLog::names) text("query", names_of(line.query), query_limit_bytes);
    if (!line.host.empty()) text("host", line.host, host_limit_bytes);
    number("status", static_cast<std::uint64_t>(std::max(count.status, 0)));
    seconds("duration", line.total);
    number("bytes", line.response_bytes);
    text("verdict", word(count.verdict), name_limit_bytes);
    if (count.forward != rules::Forward::none) text("reason", word(count.forward), name_limit_bytes);
    if (count.not_stored != rules::NotStored::none) text("not_stored", word(count.not_stored), name_limit_bytes);
    text("outcome", word(count.outcome), name_limit_bytes);
    if (!line.rule.empty()) text("rule", line.rule, name_limit_bytes);
    if (line.upstream.count() > 0) seconds("upstream_time", line.upstream);
    if (line.store.count() > 0) seconds("store_time", line.store);
    if (!line.request_id.empty()) text("request_id", line.request_id, name_limit_bytes);
    if (!line.trace_id.empty()) text("trace_id", line.trace_id, name_limit_bytes);
}

}  // namespace

AccessLog::AccessLog(const config::Log& options, Counters& counters, int fd)
    : format_(options.format), every_(0), counters_(counters), fd_(fd)
{
    use(options);
}

void AccessLog::use(const config::Log& options)
{
    every_ = options.access_every;
    query_ = options.query;
    if (every_ == 0 || is_open_) return;
    is_open_ = true;
    choose_output();
    buffer_.reserve(buffer_bytes);
}

AccessLog::~AccessLog()
{
    flush();
    if (output_ == Output::pipe) ::close(fd_);
}

// O_NONBLOCK belongs to the open file, which stdout often shares with stderr, with the other workers and with the
// parent's shell: setting it there would lose other people's output. So a pipe or terminal is opened anew, for us
// alone.
void AccessLog::choose_output() noexcept
{
    struct stat status {};
    if (::fstat(fd_, &status) != 0) return;
    if (S_ISSOCK(status.st_mode)) {
        output_ = Output::socket;
    } else if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
        const std::string path = "/proc/self/fd/" + std::to_string(fd_);
        const int own = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        output_ = own >= 0 ? Output::pipe : Output::shared_pipe;  // refused when another user owns it
        if (own >= 0) fd_ = own;
    }
}

void AccessLog::write(const AccessLine& line)
{
    if (format_ == config::LogFormat::json)
        append_json(line);
    else
        append_text(line);
    if (buffer_.size() > buffer_bytes - line_limit_bytes) flush();
}

void AccessLog::append_text(const AccessLine& line)
{
    append_time(buffer_, line.time);
    buffer_ += " access";
    tell(
        line, query_,
        [this](std::string_view key, std::string_view value, std::size_t limit_bytes) {
            append_text_field(buffer_, key, value, limit_bytes);
        },
        [this](std::string_view key, std::uint64_t value) {
            buffer_ += ' ';
            buffer_ += key;
            buffer_ += '=';
            rules::append_number(buffer_, value);
        },
        [this](std::string_view key, std::chrono::nanoseconds value) {
            buffer_ += ' ';
            buffer_ += key;
            buffer_ += '=';
            append_seconds(buffer_, value);
        });
    buffer_ += '\n';
}

void AccessLog::append_json(const AccessLine& line)
{
    buffer_ += "{\"ts\":\"";
    append_time(buffer_, line.time);
    buffer_ += "\",\"level\":\"info\",\"msg\":\"access\"";
    tell(
        line, query_,
        [this](std::string_view key, std::string_view value, std::size_t limit_bytes) {
            append_json_field(buffer_, key, value, limit_bytes);
        },
        [this](std::string_view key, std::uint64_t value) {
            buffer_ += ",\"";
            buffer_ += key;
            buffer_ += "\":";
            rules::append_number(buffer_, value);
        },
        [this](std::string_view key, std::chrono::nanoseconds value) {
            buffer_ += ",\"";
            buffer_ += key;
            buffer_ += "\":";
            append_seconds(buffer_, value);
        });
    buffer_ += "}\n";
}

void AccessLog::flush() noexcept
{
    const std::string_view all = buffer_;
    std::size_t done = 0;
    while (done < all.size()) {
        std::string_view lines = all.substr(done);
        // Whole lines of at most PIPE_BUF bytes: the kernel takes them all or none, and never mixes two workers' lines.
        if (output_ != Output::file && lines.size() > PIPE_BUF)
            lines = lines.substr(0, lines.substr(0, PIPE_BUF).rfind('\n') + 1);
        std::size_t taken_bytes = 0;
        const bool all_taken = hand_over(lines, taken_bytes);
        done += taken_bytes;
        if (!all_taken) break;
    }
    // A line that was taken in part (full disk, socket) is kept to its end, so that what comes next begins a line.
    torn_ = done < all.size() && (done > 0 ? all[done - 1] != '\n' : torn_);
    const std::string_view torn = torn_ ? all.substr(done, all.find('\n', done) + 1 - done) : std::string_view{};
    const std::string_view dropped = all.substr(done + torn.size());
    const auto dropped_count = std::count(dropped.begin(), dropped.end(), '\n');
    if (dropped_count > 0) counters_.add(Counter::log_lines_dropped, static_cast<std::uint64_t>(dropped_count));
    buffer_.erase(done + torn.size());
    buffer_.erase(0, done);
}

// False when not all was taken.
bool AccessLog::hand_over(std::string_view lines, std::size_t& taken_bytes) noexcept
{
    if (output_ == Output::shared_pipe) {
        // A writable pipe has room for PIPE_BUF bytes.
        pollfd ready{fd_, POLLOUT, 0};
        if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return false;
    }
    ssize_t n = 0;
    do {
        n = output_ == Output::socket ? ::send(fd_, lines.data(), lines.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                                      : ::write(fd_, lines.data(), lines.size());
    } while (n < 0 && errno == EINTR);
    if (n > 0) taken_bytes = static_cast<std::size_t>(n);
    return taken_bytes == lines.size();
}

}  // namespace larder::proxy
