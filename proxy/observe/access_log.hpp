// One line per exchange on stdout, when asked for: off, sampled (one in N) or all. Each worker has its own buffer,
// written when full or once a second; a line costs tens of nanoseconds and never waits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "config/config.hpp"
#include "proxy/observe/counters.hpp"

namespace larder::proxy {

struct AccessLine {
    rules::WallTime time;
    std::string_view client;  // address, without port
    std::string_view method;
    std::string_view path;   // as received; escaped and cut at 768 bytes in the line
    std::string_view query;  // the same, at 256 bytes; empty: none
    std::string_view host;
    std::string_view request_id;
    std::string_view trace_id;             // hex; empty: the request is of no trace
    std::string_view rule;                 // name; empty: none
    ExchangeCount count;                   // verdict, reasons, outcome, status
    std::uint64_t response_bytes = 0;      // body bytes sent
    std::chrono::nanoseconds total{0};     // head received to last byte handed to the kernel
    std::chrono::nanoseconds upstream{0};  // request sent to response head received; 0: no fetch
    std::chrono::nanoseconds store{0};     // waited for the store
};

/// Single-threaded: one per worker.
class AccessLog {
  public:
    /// @param fd  where lines go; 1 in production
    AccessLog(const config::Log& options, Counters& counters, int fd = 1);
    ~AccessLog();
    /// How many lines there are from now on; the format stays.
    void use(const config::Log& options);
    AccessLog(const AccessLog&) = delete;
    AccessLog& operator=(const AccessLog&) = delete;
    /// True when this exchange's line is wanted. Counts exchanges for sampling; call once per exchange.
    bool wants() noexcept { return every_ != 0 && ++seen_ % every_ == 0; }
    void write(const AccessLine& line);
    /// Hands the buffer to the kernel; what it does not take within the call is dropped and counted.
    void flush() noexcept;

  private:
    config::LogFormat format_;
    std::uint32_t every_;
    config::QueryLog query_ = config::QueryLog::keep;
    std::uint32_t seen_ = 0;
    Counters& counters_;
    int fd_;
    enum class Output : std::uint8_t { file, pipe, shared_pipe, socket } output_ = Output::file;
    bool is_open_ = false;
    bool torn_ = false;  // the buffer begins with the rest of a line whose start has been written
    std::string buffer_;

    void choose_output() noexcept;
    void append_text(const AccessLine& line);
    void append_json(const AccessLine& line);
    bool hand_over(std::string_view lines, std::size_t& taken_bytes) noexcept;
};

}  // namespace larder::proxy
