#include "rules/http/chunked.hpp"

#include <algorithm>
#include <cstring>

#include "rules/base/text.hpp"

namespace larder::rules {
namespace {

constexpr std::size_t max_size_digits = 16;
constexpr std::uint64_t max_size = INT64_MAX;  // as of Content-Length

bool is_value_char(char c) noexcept { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); }

void skip_space(std::string_view& text) noexcept
{
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
}

bool skip_token(std::string_view& text) noexcept
{
    const auto end = std::find_if_not(text.begin(), text.end(), is_token_char);
    if (end == text.begin()) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.begin()));
    return true;
}

bool skip_quoted_string(std::string_view& text) noexcept
{
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"') {
            text.remove_prefix(i + 1);
            return true;
        }
        if (text[i] == '\\') ++i;
        if (i == text.size() || !is_value_char(text[i])) return false;
    }
    return false;
}

/// RFC 9112 §7.1.1: any number of `; name` or `; name = value`, with white space before and behind each sign.
bool are_extensions(std::string_view text) noexcept
{
    while (!text.empty()) {
        skip_space(text);
        if (text.empty() || text.front() != ';') return false;
        text.remove_prefix(1);
        skip_space(text);
        if (!skip_token(text)) return false;
        std::string_view behind_name = text;
        skip_space(behind_name);
        if (behind_name.empty()) return text.empty();
        text = behind_name;
        if (text.front() != '=') continue;
        text.remove_prefix(1);
        skip_space(text);
        if (text.empty()) return false;
        if (!(text.front() == '"' ? skip_quoted_string(text) : skip_token(text))) return false;
        std::string_view behind_value = text;
        skip_space(behind_value);
        if (behind_value.empty()) return text.empty();
        text = behind_value;
    }
    return true;
}

/// Fields that would change how a message is framed, routed or authorised if somebody merged the trailer into the head.
bool may_stand_in_trailer(FieldId id) noexcept
{
    switch (id) {
    case FieldId::authorization:
    case FieldId::cache_control:
    case FieldId::connection:
    case FieldId::content_encoding:
    case FieldId::content_length:
    case FieldId::content_range:
    case FieldId::content_type:
    case FieldId::cookie:
    case FieldId::expect:
    case FieldId::host:
    case FieldId::keep_alive:
    case FieldId::proxy_authorization:
    case FieldId::proxy_connection:
    case FieldId::set_cookie:
    case FieldId::te:
    case FieldId::trailer:
    case FieldId::transfer_encoding:
    case FieldId::upgrade: return false;
    default: return true;
    }
}

}  // namespace

/// Takes a line with its CR LF off `input`. When the input ends before the line does, keeps what there is and leaves
/// `line` without data. False when the line is longer than the limit or does not end with CR LF.
bool ChunkedDecoder::take_line(std::string_view& input, std::size_t limit_bytes, std::string_view& line)
{
    const std::size_t room = limit_bytes + 2 - std::min(line_.size(), limit_bytes + 2);
    const std::string_view seen = input.substr(0, room);
    const std::size_t end = seen.find('\n');
    if (end == std::string_view::npos) {
        if (seen.size() == room) return false;
        line_.append(seen);
        input.remove_prefix(seen.size());
        return true;
    }
    if (line_.empty()) {
        line = seen.substr(0, end + 1);
    } else {
        line_.append(seen.substr(0, end + 1));
        line = line_;
    }
    input.remove_prefix(end + 1);
    return line.size() >= 2 && line[line.size() - 2] == '\r';
}

bool ChunkedDecoder::take_size(std::string_view line)
{
    std::uint64_t size = 0;
    std::size_t digits = 0;
    std::size_t significant = 0;  // without zeros in front, of which there may be any number
    for (; digits < line.size() && hex_value(line[digits]) >= 0; ++digits) {
        size = size << 4 | static_cast<std::uint64_t>(hex_value(line[digits]));
        if (size != 0 && ++significant > max_size_digits) return false;
    }
    if (digits == 0 || size > max_size) return false;
    const std::string_view extensions = line.substr(digits);
    extensions_bytes_ += extensions.size();
    if (extensions_bytes_ > limits_.extensions_bytes || !are_extensions(extensions)) return false;
    left_ = size;
    return true;
}

bool ChunkedDecoder::take_trailer(std::string_view line)
{
    if (++trailer_count_ > limits_.trailer_count) return false;
    trailer_bytes_ += line.size() + 2;
    if (trailer_bytes_ > limits_.trailer_bytes || !is_field_line(line)) return false;
    if (may_stand_in_trailer(field_id(line.substr(0, line.find(':'))))) trailers_.append(line).append("\r\n");
    return true;
}

ChunkedDecoder::Step ChunkedDecoder::next(std::string_view& input, std::string_view& data)
{
    for (;;) {
        if (state_ == State::done) return Step::done;
        if (state_ == State::bad) return Step::bad;
        if (input.empty()) return Step::need_more;
        switch (state_) {
        case State::size: {
            std::string_view line;
            if (!take_line(input, limits_.line_bytes, line)) return fail();
            if (line.empty()) return Step::need_more;
            line.remove_suffix(2);
            if (!take_size(line)) return fail();
            line_.clear();
            state_ = left_ > 0 ? State::data : State::trailer;
            break;
        }
        case State::data: {
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
            data = input.substr(0, size);
            input.remove_prefix(size);
            left_ -= size;
            if (left_ == 0) state_ = State::data_cr;
            return Step::data;
        }
        case State::data_cr:
        case State::data_lf: {
            const bool cr = state_ == State::data_cr;
            if (input.front() != (cr ? '\r' : '\n')) return fail();
            input.remove_prefix(1);
            state_ = cr ? State::data_lf : State::size;
            break;
        }
        case State::trailer: {
            std::string_view line;
            if (!take_line(input, limits_.trailer_bytes, line)) return fail();
            if (line.empty()) return Step::need_more;
            line.remove_suffix(2);
            if (line.empty()) {
                state_ = State::done;
            } else if (!take_trailer(line)) {
                return fail();
            }
            line_.clear();
            break;
        }
        case State::done:
        case State::bad: break;
        }
    }
}

}  // namespace larder::rules
