// Bytes of a Redis server in, replies out (RESP2). A reader of our own: hiredis copies each byte twice more and moves
// its buffer after each reply, which cost more than all else that a hit from Redis needs (bench/README.md, "Redis").
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "proxy/redis/reply.hpp"

namespace larder::proxy {

/// No socket: whoever has one reads into `room`, says what was `received`, and takes what is there with `next` until
/// that is false.
class ReplyReader {
  public:
    /// @param buffer_bytes  what is read at a time; it grows only for a portion of `feed` that is larger
    explicit ReplyReader(std::size_t buffer_bytes = 64 * 1024) : buffer_(buffer_bytes) {}
    ReplyReader(const ReplyReader&) = delete;
    ReplyReader& operator=(const ReplyReader&) = delete;

    /// Forgets everything: for a new connection.
    void reset();

    /// Where the next bytes belong; never empty. A large value is read to where it stays.
    std::span<char> room();
    /// So many bytes have been put at the beginning of what `room` gave last.
    void received(std::size_t bytes) noexcept;
    /// The same for bytes that stand elsewhere.
    void feed(std::string_view bytes);

    /// The next reply, in exchange for one that is not needed any more: its memory is used again. False: there is no
    /// whole one yet, or the bytes cannot be understood (`failed`), from when on there is none.
    bool next(Reply& reply);
    /// The next reply where it stands, if it is an array of so many texts or nils, and all of it is there: views that
    /// are valid until more is read. False: `next` may have it.
    bool next_texts(std::span<std::optional<std::string_view>> texts) noexcept;
    bool failed() const noexcept { return failed_; }

  private:
    struct Level {
        Reply* array;
        std::size_t size;    // when all its elements are there
        std::size_t filled;  // so many are; behind them may be others of an earlier reply
    };
    static constexpr std::size_t depth_limit = 8;

    bool step();
    bool take_number(char kind, std::int64_t number, std::size_t line_bytes);
    Reply* next_element(Level& level);
    bool take_text(std::uint64_t size, std::size_t header_bytes);
    bool end_large();
    bool end_item();
    bool fail() noexcept
    {
        failed_ = true;
        return false;
    }

    std::vector<char> buffer_;
    std::size_t begin_ = 0, end_ = 0;  // of what is received and not read yet

    Reply root_;
    Reply* item_ = &root_;
    std::array<Level, depth_limit> levels_{};
    std::size_t depth_ = 0;
    bool is_large_ = false;           // `item_` is a text that has its size already, but not all of its bytes
    std::size_t large_received_ = 0;  // of them
    bool whole_ = false;
    bool failed_ = false;
};

}  // namespace larder::proxy
