// Bytes of a Redis server in, replies out (RESP2). A reader of our own: hiredis copies each byte twice more and moves
// its buffer after each reply, which cost more than all else that a hit from Redis needs (bench/README.md, "Redis").
#pragma once

#include <array>
#include <cstdint>
#include <memory>
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
    explicit ReplyReader(std::size_t buffer_bytes = 64 * 1024) : buffer_(buffer_bytes + bytes_beyond) {}
    ReplyReader(const ReplyReader&) = delete;
    ReplyReader& operator=(const ReplyReader&) = delete;

    /// Forgets everything: for a new connection.
    void reset();

    /// Where the next bytes belong; never empty. A large value is read into a block of its own.
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
    /// @param large  becomes the block of the first text, if that has one: whoever keeps it keeps the text
    bool next_texts(std::span<std::optional<std::string_view>> texts, std::unique_ptr<char[]>& large) noexcept;
    bool failed() const noexcept { return failed_; }

  private:
    struct Level {
        Reply* array;
        std::size_t size;    // when all its elements are there
        std::size_t filled;  // so many are; behind them may be others of an earlier reply
    };
    static constexpr std::size_t depth_limit = 8;
    static constexpr std::size_t bytes_beyond = 16;  // that may be read behind what was received

    bool take_single(Reply& reply);
    bool step();
    bool take_number(char kind, std::int64_t number, std::size_t line_bytes);
    Reply* next_element(Level& level);
    const char* read_text(const char* at, std::optional<std::string_view>& text) const noexcept;
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
    bool is_large_ = false;  // `item_` is a text whose bytes go into `large_`
    std::unique_ptr<char[]> large_;
    std::size_t large_bytes_ = 0, large_received_ = 0;
    bool whole_ = false;
    bool failed_ = false;
};

}  // namespace larder::proxy
