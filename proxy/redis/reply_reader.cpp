#include "proxy/redis/reply_reader.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <exception>
#include <optional>
#include <utility>

#include "rules/base/digits.hpp"

namespace larder::proxy {

namespace {

constexpr std::int64_t elements_limit = 1'000'000;
constexpr std::size_t reserved_limit = 1024;            // what a server announces is not memory yet
constexpr std::int64_t text_limit = 512 * 1024 * 1024;  // Redis' proto-max-bulk-len
constexpr std::size_t line_limit = 64 * 1024;           // of a status, an error or a number
// From here on a text that is not all there is read into a block of its own; a shorter one is waited for.
constexpr std::size_t large_from = 8 * 1024;
constexpr std::size_t room_behind_large = 64;  // for what follows it, as a rule a line end and a counter: one read less

/// Ready to become another. Elements stay for their memory, until it is known whether that is an array.
void clear(Reply& reply) noexcept
{
    reply.kind = Reply::Kind::nil;
    reply.integer = 0;
    reply.text.clear();
}

void become(Reply& reply, Reply::Kind kind) noexcept
{
    reply.kind = kind;
    if (kind != Reply::Kind::array && !reply.elements.empty()) reply.elements.clear();
}

/// A line that is a kind and up to eight digits, as nearly every one is: all are read at once, and what stands behind
/// `here` with them, which must be memory (`bytes_beyond`) and does not matter.
struct ShortLine {
    std::int64_t number = 0;
    std::size_t bytes = 0;  // 0: it is no such line
};

[[gnu::always_inline]] inline ShortLine read_short_line(const char* at, std::size_t here) noexcept
{
    const std::uint64_t word = rules::load_eight(at + 1) ^ rules::eight_times('0');
    const std::uint64_t others = rules::beyond_nine(word);
    const auto digits = others == 0 ? 8 : static_cast<std::size_t>(std::countr_zero(others)) / 8;
    if (digits == 0 || digits + 3 > here || at[1 + digits] != '\r' || at[2 + digits] != '\n') return {};
    const std::uint64_t number = rules::join_digits(word << 8 * (8 - digits));  // in front of them zeros
    return {static_cast<std::int64_t>(number), digits + 3};
}

std::optional<std::int64_t> parse_number(std::string_view text) noexcept
{
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

}  // namespace

void ReplyReader::reset()
{
    begin_ = end_ = depth_ = 0;
    root_ = Reply{};
    item_ = &root_;
    large_.reset();
    is_large_ = whole_ = failed_ = false;
}

std::span<char> ReplyReader::room()
{
    if (is_large_ && large_received_ < large_bytes_) {
        const std::size_t room_bytes = large_bytes_ + std::min(room_behind_large, buffer_.size() - bytes_beyond);
        return {large_.get() + large_received_, room_bytes - large_received_};
    }
    if (begin_ == end_) {
        begin_ = end_ = 0;
    } else if (begin_ > buffer_.size() / 2) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    if (end_ == buffer_.size() - bytes_beyond) buffer_.resize(buffer_.size() * 2);
    return {buffer_.data() + end_, buffer_.size() - bytes_beyond - end_};
}

void ReplyReader::received(std::size_t bytes) noexcept
{
    if (!is_large_ || large_received_ >= large_bytes_) {
        end_ += bytes;
        return;
    }
    large_received_ += bytes;
    if (large_received_ <= large_bytes_) return;
    begin_ = 0;  // the buffer was empty: the text had all of it
    end_ = large_received_ - large_bytes_;
    std::memcpy(buffer_.data(), large_.get() + large_bytes_, end_);
    large_received_ = large_bytes_;
}

void ReplyReader::feed(std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::span<char> into = room();
        const std::size_t count = std::min(bytes.size(), into.size());
        std::memcpy(into.data(), bytes.data(), count);
        received(count);
        bytes.remove_prefix(count);
    }
}

bool ReplyReader::next(Reply& reply)
try {
    if (take_single(reply)) return true;
    while (!whole_ && !failed_) {
        const bool went_on = is_large_ ? end_large() : step();
        if (!went_on) return false;
    }
    if (failed_) return false;
    swap(reply, root_);
    clear(root_);
    item_ = &root_;
    whole_ = false;
    return true;
} catch (const std::exception&) {  // memory: what has come is of no use without the rest
    return fail();
}

bool ReplyReader::next_texts(std::span<std::optional<std::string_view>> texts, std::unique_ptr<char[]>& large) noexcept
{
    if (failed_ || begin_ == end_ || texts.empty()) return false;
    const char *at = buffer_.data() + begin_, *const end = buffer_.data() + end_;
    auto text = texts.begin();
    if (is_large_) {  // the first text of such an array, which `next` has begun
        const bool is_first = depth_ == 1 && levels_[0].filled == 1 && levels_[0].size == texts.size();
        if (!is_first || large_received_ < large_bytes_ || end - at < 2 || at[0] != '\r' || at[1] != '\n') return false;
        text++->emplace(large_.get(), large_bytes_);
        at += 2;
    } else {
        if (depth_ != 0) return false;
        const ShortLine head = read_short_line(at, static_cast<std::size_t>(end - at));
        if (*at != '*' || head.bytes == 0 || !std::cmp_equal(head.number, texts.size())) return false;
        at += head.bytes;
    }
    for (; text != texts.end(); ++text) {
        at = read_text(at, *text);
        if (!at) return false;
    }
    begin_ = static_cast<std::size_t>(at - buffer_.data());
    if (is_large_) {
        large = std::move(large_);
        is_large_ = false;
        depth_ = 0;
        clear(root_);
        item_ = &root_;
    }
    return true;
}

/// A reply that is a text or OK, as most are, and all there. False: nothing was done.
bool ReplyReader::take_single(Reply& reply)
{
    if (failed_ || whole_ || is_large_ || depth_ != 0 || begin_ == end_) return false;
    constexpr std::string_view ok = "+OK\r\n";
    const char* const at = buffer_.data() + begin_;
    std::optional<std::string_view> text;
    Reply::Kind kind = Reply::Kind::text;
    const char* item_end = nullptr;
    if (std::string_view(at, end_ - begin_).starts_with(ok)) {
        kind = Reply::Kind::status;
        text = ok.substr(1, 2);
        item_end = at + ok.size();
    } else if (*at == '$') {
        item_end = read_text(at, text);
    }
    if (!item_end || !text) return false;
    become(reply, kind);
    reply.integer = 0;
    reply.text = *text;
    begin_ = static_cast<std::size_t>(item_end - buffer_.data());
    return true;
}

/// A text or nil at `at`. Returns its end; null: it is something else, or not all there.
const char* ReplyReader::read_text(const char* at, std::optional<std::string_view>& text) const noexcept
{
    constexpr std::string_view nil = "$-1\r\n";
    const std::string_view rest(at, static_cast<std::size_t>(buffer_.data() + end_ - at));
    if (at[1] == '-' && rest.starts_with(nil)) {
        text.reset();
        return at + nil.size();
    }
    const ShortLine line = read_short_line(at, rest.size());
    if (line.bytes == 0 || *at != '$') return nullptr;
    const auto size = static_cast<std::size_t>(line.number);
    if (rest.size() - line.bytes < size + 2) return nullptr;
    text.emplace(at + line.bytes, size);
    at += line.bytes + size;
    return at[0] == '\r' && at[1] == '\n' ? at + 2 : nullptr;
}

/// Takes one item, or the head of an array. False: it is not all there, or bad.
bool ReplyReader::step()
{
    const char* const at = buffer_.data() + begin_;
    const std::size_t here = end_ - begin_;
    if (here > 0 && (at[0] == '$' || at[0] == '*')) {
        const ShortLine line = read_short_line(at, here);
        if (line.bytes != 0) return take_number(at[0], line.number, line.bytes);
    }
    const auto* const feed_at = static_cast<const char*>(std::memchr(at, '\n', std::min(here, line_limit)));
    if (!feed_at) return here < line_limit ? false : fail();
    const auto line_bytes = static_cast<std::size_t>(feed_at - at) + 1;
    if (line_bytes < 3 || feed_at[-1] != '\r') return fail();
    const std::string_view line(at + 1, line_bytes - 3);

    switch (at[0]) {
    case '+':
    case '-':
        become(*item_, at[0] == '+' ? Reply::Kind::status : Reply::Kind::error);
        item_->text = line;
        begin_ += line_bytes;
        return end_item();
    case ':': break;
    case '$': break;
    case '*': break;
    default: return fail();
    }
    const auto number = parse_number(line);
    return number ? take_number(at[0], *number, line_bytes) : fail();
}

/// The same, once the number behind `kind` is read.
bool ReplyReader::take_number(char kind, std::int64_t number, std::size_t line_bytes)
{
    if (kind == ':') {
        become(*item_, Reply::Kind::integer);
        item_->integer = number;
        begin_ += line_bytes;
        return end_item();
    }
    if (number == -1) {
        become(*item_, Reply::Kind::nil);
        begin_ += line_bytes;
        return end_item();
    }
    if (number < 0 || number > (kind == '$' ? text_limit : elements_limit)) return fail();
    if (kind == '$') return take_text(static_cast<std::uint64_t>(number), line_bytes);

    const auto size = static_cast<std::size_t>(number);
    become(*item_, Reply::Kind::array);
    begin_ += line_bytes;
    std::vector<Reply>& elements = item_->elements;
    if (elements.size() > size) elements.resize(size);
    if (size == 0) return end_item();
    if (depth_ == depth_limit) return fail();
    elements.reserve(std::min(size, reserved_limit));
    levels_[depth_] = {item_, size, 0};
    item_ = next_element(levels_[depth_++]);
    return true;
}

Reply* ReplyReader::next_element(Level& level)
{
    std::vector<Reply>& elements = level.array->elements;
    const std::size_t i = level.filled++;
    if (i == elements.size()) return &elements.emplace_back();
    clear(elements[i]);
    return &elements[i];
}

bool ReplyReader::take_text(std::uint64_t size, std::size_t header_bytes)
{
    const std::size_t here = end_ - begin_ - header_bytes;
    const char* const from = buffer_.data() + begin_ + header_bytes;
    if (here >= size + 2) {
        if (from[size] != '\r' || from[size + 1] != '\n') return fail();
        become(*item_, Reply::Kind::text);
        if (size <= item_->text.capacity())
            item_->text.assign(from, size);
        else
            item_->text = std::string(from, size);  // a third of what assigning costs then
        begin_ += header_bytes + size + 2;
        return end_item();
    }
    if (size < large_from) return false;
    become(*item_, Reply::Kind::text);
    large_ = std::make_unique_for_overwrite<char[]>(size + room_behind_large);
    is_large_ = true;
    large_bytes_ = size;
    large_received_ = std::min<std::size_t>(here, size);
    std::memcpy(large_.get(), from, large_received_);
    begin_ += header_bytes + large_received_;
    return true;
}

/// The line end of a large text, once it is there.
bool ReplyReader::end_large()
{
    if (large_received_ < large_bytes_ || end_ - begin_ < 2) return false;
    if (buffer_[begin_] != '\r' || buffer_[begin_ + 1] != '\n') return fail();
    item_->text.assign(large_.get(), large_bytes_);
    large_.reset();
    begin_ += 2;
    is_large_ = false;
    return end_item();
}

/// `item_` is whole, and with it each array that it is the last of.
bool ReplyReader::end_item()
{
    while (depth_ > 0) {
        Level& level = levels_[depth_ - 1];
        if (level.filled < level.size) {
            item_ = next_element(level);  // the arrays around it stay where they are
            return true;
        }
        --depth_;
    }
    whole_ = true;
    return true;
}

}  // namespace larder::proxy
