#include "rules/http/structured.hpp"

#include <algorithm>

#include "rules/base/text.hpp"

namespace larder::rules {

namespace {

// As many as the RFC asks for (RFC 9651 §3.1.2, §3.2): each key is held against those before it.
constexpr std::size_t dictionary_limit = 1024, parameters_limit = 256;

constexpr bool is_lower_alpha(char c) noexcept { return c >= 'a' && c <= 'z'; }
constexpr bool is_key_char(char c) noexcept
{
    return is_lower_alpha(c) || is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
}
constexpr bool is_printable(char c) noexcept { return c >= ' ' && c <= '~'; }
constexpr bool is_base64(char c) noexcept { return is_alpha(c) || is_digit(c) || c == '+' || c == '/'; }

/// RFC 3629 §4.
bool is_utf8(std::string_view text) noexcept
{
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    for (; !text.empty();) {
        const unsigned first = byte(0), second = byte(1);
        const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        // The second byte rules out what is written longer than it must be, surrogates, and what is above U+10FFFF.
        const unsigned least = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
        const unsigned most = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
        if (length > 1 && (first < 0xC2 || first > 0xF4 || second < least || second > most)) return false;
        for (std::size_t i = 2; i < length; ++i)
            if ((byte(i) & 0xC0) != 0x80) return false;
        text.remove_prefix(length);
    }
    return true;
}

/// RFC 9651 §4.2, one function for each of its algorithms. False: parsing has failed.
class Parser {
  public:
    explicit Parser(std::string_view text) noexcept : rest_(text) {}

    void skip_spaces() noexcept
    {
        while (next() == ' ') rest_.remove_prefix(1);
    }
    bool at_end() const noexcept { return rest_.empty(); }

    bool parse_list(StructuredList& list)
    {
        while (!at_end()) {
            if (!parse_member(list.emplace_back())) return false;
            if (at_end_of_member()) return true;
            if (!take_comma()) return false;
        }
        return true;
    }

    bool parse_dictionary(StructuredDictionary& dictionary)
    {
        while (!at_end()) {
            std::string key;
            if (dictionary.size() == dictionary_limit || !parse_key(key)) return false;
            StructuredMember member;
            if (take('=')) {
                if (!parse_member(member)) return false;
            } else if (!parse_parameters(member.parameters)) {
                return false;
            }
            const auto same = std::find_if(dictionary.begin(), dictionary.end(),
                                           [&](const auto& other) { return other.first == key; });
            if (same == dictionary.end())
                dictionary.emplace_back(std::move(key), std::move(member));
            else
                same->second = std::move(member);
            if (at_end_of_member()) return true;
            if (!take_comma()) return false;
        }
        return true;
    }

  private:
    char next() const noexcept { return rest_.empty() ? '\0' : rest_.front(); }
    bool take(char c) noexcept
    {
        if (rest_.empty() || rest_.front() != c) return false;
        rest_.remove_prefix(1);
        return true;
    }
    void skip_white_space() noexcept
    {
        while (next() == ' ' || next() == '\t') rest_.remove_prefix(1);
    }
    bool at_end_of_member() noexcept
    {
        skip_white_space();
        return at_end();
    }
    /// A comma, and something behind it.
    bool take_comma() noexcept
    {
        if (!take(',')) return false;
        skip_white_space();
        return !at_end();
    }

    bool parse_member(StructuredMember& member)
    {
        member.is_inner_list = next() == '(';
        return member.is_inner_list ? parse_inner_list(member) : parse_item(member);
    }

    bool parse_inner_list(StructuredMember& member)
    {
        take('(');
        for (;;) {
            skip_spaces();
            if (take(')')) return parse_parameters(member.parameters);
            if (at_end() || !parse_item(member.inner.emplace_back())) return false;
            if (next() != ' ' && next() != ')') return false;
        }
    }

    bool parse_item(StructuredItem& item) { return parse_bare_item(item.value) && parse_parameters(item.parameters); }

    bool parse_parameters(std::vector<std::pair<std::string, BareItem>>& parameters)
    {
        while (take(';')) {
            skip_spaces();
            std::string key;
            if (parameters.size() == parameters_limit || !parse_key(key)) return false;
            BareItem value;
            if (take('=') && !parse_bare_item(value)) return false;
            std::erase_if(parameters, [&](const auto& other) { return other.first == key; });
            parameters.emplace_back(std::move(key), std::move(value));
        }
        return true;
    }

    bool parse_key(std::string& key)
    {
        if (!is_lower_alpha(next()) && next() != '*') return false;
        while (is_key_char(next())) take_into(key);
        return true;
    }

    bool parse_bare_item(BareItem& item)
    {
        const char c = next();
        if (c == '-' || is_digit(c)) return parse_number(item);
        if (c == '"') return parse_string(item);
        if (is_alpha(c) || c == '*') return parse_token(item);
        if (c == ':') return parse_bytes(item);
        if (c == '?') return parse_boolean(item);
        if (c == '@') return parse_date(item);
        if (c == '%') return parse_display_string(item);
        return false;
    }

    bool parse_number(BareItem& item)
    {
        constexpr std::size_t integer_digits = 15, whole_digits = 12, fraction_digits = 3;
        const bool negative = take('-');
        std::string digits, fraction;
        while (is_digit(next()) && digits.size() <= integer_digits) take_into(digits);
        if (digits.empty() || digits.size() > integer_digits) return false;
        if (next() == '.') {
            if (digits.size() > whole_digits) return false;
            take('.');
            while (is_digit(next()) && fraction.size() <= fraction_digits) take_into(fraction);
            if (fraction.empty() || fraction.size() > fraction_digits) return false;
            item.kind = BareItem::Kind::decimal;
            item.text = (negative ? "-" : "") + digits + "." + fraction;
            return true;
        }
        item.kind = BareItem::Kind::integer;
        item.integer = static_cast<std::int64_t>(*parse_digits(digits));
        if (negative) item.integer = -item.integer;
        return true;
    }

    bool parse_string(BareItem& item)
    {
        item.kind = BareItem::Kind::string;
        take('"');
        while (!at_end()) {
            if (take('"')) return true;
            if (take('\\')) {
                if (next() != '"' && next() != '\\') return false;
            } else if (!is_printable(next())) {
                return false;
            }
            take_into(item.text);
        }
        return false;
    }

    bool parse_token(BareItem& item)
    {
        item.kind = BareItem::Kind::token;
        while (is_token_char(next()) || next() == ':' || next() == '/') take_into(item.text);
        return true;
    }

    /// What a decoder would refuse is refused: padding in another place than the end, and six bits that are no byte.
    bool parse_bytes(BareItem& item)
    {
        item.kind = BareItem::Kind::bytes;
        take(':');
        while (is_base64(next())) take_into(item.text);
        const bool half_a_byte = item.text.size() % 4 == 1;
        for (int padding = 0; padding < 2 && next() == '='; ++padding) take_into(item.text);
        return !half_a_byte && take(':');
    }

    bool parse_boolean(BareItem& item)
    {
        item.kind = BareItem::Kind::boolean;
        take('?');
        item.truth = next() == '1';
        return take('0') || take('1');
    }

    bool parse_date(BareItem& item)
    {
        take('@');
        if (!parse_number(item) || item.kind != BareItem::Kind::integer) return false;
        item.kind = BareItem::Kind::date;
        return true;
    }

    bool parse_display_string(BareItem& item)
    {
        item.kind = BareItem::Kind::display_string;
        take('%');
        if (!take('"')) return false;
        while (!at_end()) {
            if (take('"')) return is_utf8(item.text);
            if (!is_printable(next())) return false;
            if (!take('%')) {
                take_into(item.text);
                continue;
            }
            if (rest_.size() < 2) return false;
            const auto is_lower_hex = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); };
            if (!is_lower_hex(rest_[0]) || !is_lower_hex(rest_[1])) return false;
            item.text += static_cast<char>(hex_value(rest_[0]) * 16 + hex_value(rest_[1]));
            rest_.remove_prefix(2);
        }
        return false;
    }

    void take_into(std::string& text)
    {
        text += rest_.front();
        rest_.remove_prefix(1);
    }

    std::string_view rest_;
};

}  // namespace

std::optional<StructuredList> parse_structured_list(std::string_view text)
{
    Parser parser(text);
    StructuredList list;
    parser.skip_spaces();
    if (!parser.parse_list(list)) return std::nullopt;
    parser.skip_spaces();
    if (!parser.at_end()) return std::nullopt;
    return list;
}

std::optional<StructuredDictionary> parse_structured_dictionary(std::string_view text)
{
    Parser parser(text);
    StructuredDictionary dictionary;
    parser.skip_spaces();
    if (!parser.parse_dictionary(dictionary)) return std::nullopt;
    parser.skip_spaces();
    if (!parser.at_end()) return std::nullopt;
    return dictionary;
}

}  // namespace larder::rules
