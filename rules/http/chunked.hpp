// The chunked transfer coding (RFC 9112 §7.1), decoded strictly and without copying: data comes out as views into the
// input.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rules/http/head.hpp"

namespace larder::rules {

/// Sans-I/O. Feed it bytes as they come; it keeps only the present line when one is cut by the end of the input.
/// Strict: CR LF only, pure hex sizes of at most 16 digits without sign, space or overflow; extensions are checked for
/// syntax and dropped; trailer lines obey the syntax of field lines.
class ChunkedDecoder {
  public:
    struct Limits {
        std::size_t line_bytes = 4 * 1024;         // a size line with its extensions
        std::size_t extensions_bytes = 16 * 1024;  // of all chunks together
        std::size_t trailer_bytes = 8 * 1024;
        std::size_t trailer_count = 64;
    };
    enum class Step : std::uint8_t {
        data,       // `data` is body; call again
        need_more,  // the input is used up
        done,       // the body has ended; what is left of the input is not ours
        bad,        // malformed: the connection must not be used any further
    };

    ChunkedDecoder() = default;
    explicit ChunkedDecoder(Limits limits) : limits_(limits) {}

    /// Takes bytes off the front of `input`. With `data`, `data` views into it.
    Step next(std::string_view& input, std::string_view& data);

    /// Trailer field lines as received, each with CR LF; valid after `done`. Never merged into the head. Lines that a
    /// trailer must not have, because they frame or route a message (RFC 9110 §6.5.1), are left out.
    const std::string& trailers() const noexcept { return trailers_; }

  private:
    enum class State : std::uint8_t { size, data, data_cr, data_lf, trailer, done, bad };
    Step fail() noexcept
    {
        state_ = State::bad;
        return Step::bad;
    }

    bool take_line(std::string_view& input, std::size_t limit_bytes, std::string_view& line);
    bool take_size(std::string_view line);
    bool take_trailer(std::string_view line);

    Limits limits_{};
    State state_ = State::size;
    std::uint64_t left_ = 0;
    std::size_t extensions_bytes_ = 0;
    std::size_t trailer_bytes_ = 0;
    std::size_t trailer_count_ = 0;
    std::string line_;  // the part of the present line that came with earlier input
    std::string trailers_;
};

}  // namespace larder::rules
