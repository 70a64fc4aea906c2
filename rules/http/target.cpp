#include "rules/http/target.hpp"

#include <algorithm>
#include <array>

#include "rules/base/text.hpp"
#include "rules/http/bytes.hpp"

namespace larder::rules {

namespace {

/// RFC 3986 §2.3: characters that mean the same encoded and plain.
constexpr bool is_unreserved(char c) noexcept
{
    return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/// Bytes that, alone, leave a path in its normal form. "/" is looked at together with what follows it.
constexpr std::array<bool, 256> plain_bytes = [] {
    std::array<bool, 256> plain{};
    for (int c = 0x21; c < 0x7f; ++c) plain[static_cast<std::size_t>(c)] = true;
    for (unsigned char c : {'%', ';', '\\', '/'}) plain[c] = false;
    return plain;
}();

/// Bytes that may stand in a path as they are or as an escape, and in a normal form stay what they were. Not those that
/// cannot stand there plainly ("?", "#", "%"), or not encoded ("/", ";" and "\\": such a path is ambiguous).
constexpr std::array<bool, 256> may_be_spelt_otherwise = [] {
    std::array<bool, 256> may{};
    for (int c = 0x21; c < 0x7f; ++c) may[static_cast<std::size_t>(c)] = !is_unreserved(static_cast<char>(c));
    for (unsigned char c : {'?', '#', '%', '/', ';', '\\'}) may[c] = false;
    return may;
}();

#ifdef __SSE2__
/// May one of these bytes, each with the one behind it in `next`, be where a path leaves its normal form? "/." may.
bool has_odd_byte(__m128i bytes, __m128i next) noexcept
{
    const auto is = [](__m128i some, char c) { return _mm_cmpeq_epi8(some, _mm_set1_epi8(c)); };
    const __m128i visible = _mm_cmpgt_epi8(bytes, _mm_set1_epi8(' '));                  // signed: not from 0x80 on
    const __m128i special = _mm_or_si128(_mm_or_si128(is(bytes, '%'), is(bytes, ';')),  //
                                         _mm_or_si128(is(bytes, '\\'), is(bytes, 0x7f)));
    const __m128i begins_odd = _mm_and_si128(is(bytes, '/'), _mm_or_si128(is(next, '/'), is(next, '.')));
    return _mm_movemask_epi8(_mm_andnot_si128(_mm_or_si128(special, begins_odd), visible)) != 0xffff;
}
#endif

#ifdef __SSE2__
/// Are all bytes unreserved, or "/"?
bool have_one_spelling(__m128i bytes) noexcept
{
    const auto is = [bytes](char c) { return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)); };
    const __m128i is_mark =
        _mm_or_si128(_mm_or_si128(_mm_or_si128(is('-'), is('.')), _mm_or_si128(is('_'), is('~'))), is('/'));
    return _mm_movemask_epi8(_mm_or_si128(alphanumerics(bytes), is_mark)) == 0xffff;
}
#endif

/// Is it certain, at little cost, that a path is in its normal form?
bool is_surely_plain(std::string_view path) noexcept
{
#ifdef __SSE2__
    const char* at = path.data();
    const char* const end = at + path.size();
    const auto load = [](const char* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); };
    for (; end - at > 16; at += 16)
        if (has_odd_byte(load(at), load(at + 1))) return false;
    if (path.size() >= 16) {
        const __m128i last = load(end - 16);
        return !has_odd_byte(last, _mm_srli_si128(last, 1));
    }
    if (path.size() >= 8) {  // the two halves overlap
        const auto half = [](const char* from) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)); };
        const __m128i last = half(end - 8);
        const __m128i next = path.size() > 8 ? half(at + 1) : _mm_srli_si128(last, 1);
        return !has_odd_byte(_mm_unpacklo_epi64(half(at), last), _mm_unpacklo_epi64(next, _mm_srli_si128(last, 1)));
    }
#endif
    return false;
}

bool is_plain_path(std::string_view path) noexcept
{
    if (is_surely_plain(path)) return true;
    for (std::size_t i = 0; i < path.size(); ++i) {
        if (plain_bytes[static_cast<unsigned char>(path[i])]) continue;
        if (path[i] != '/') return false;
        if (i + 1 == path.size() || (path[i + 1] != '/' && path[i + 1] != '.')) continue;
        if (path[i + 1] == '/') return false;
        const std::string_view segment = path.substr(i + 1, path.find('/', i + 1) - i - 1);
        if (segment == "." || segment == "..") return false;
    }
    return true;
}

void append_escape(std::string& out, unsigned char byte)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    out += '%';
    out += digits[byte >> 4];
    out += digits[byte & 15];
}

/// The byte that an escape at `i` stands for, or -1 when there is no valid escape.
int escaped_byte(std::string_view text, std::size_t i) noexcept
{
    if (text[i] != '%' || i + 2 >= text.size()) return -1;
    const int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool has_invalid_escape(std::string_view text) noexcept
{
    for (std::size_t i = text.find('%'); i != std::string_view::npos; i = text.find('%', i + 3))
        if (escaped_byte(text, i) < 0) return true;
    return false;
}

/// Normalises the escapes of a path and leaves path parameters out. True when a server might read it otherwise.
bool append_path_encoding(std::string& out, std::string_view path)
{
    bool ambiguous = false;
    for (std::size_t i = 0; i < path.size(); ++i) {
        const auto byte = static_cast<unsigned char>(path[i]);
        if (byte == ';') {
            ambiguous = true;
            i = std::min(path.find('/', i), path.size()) - 1;
        } else if (byte != '%') {
            ambiguous = ambiguous || byte == '\\' || byte < 0x20 || byte == 0x7f;
            if (byte > 0x7e || byte <= 0x20)
                append_escape(out, byte);
            else
                out += path[i];
        } else if (const int value = escaped_byte(path, i); value < 0) {
            ambiguous = true;
            append_escape(out, '%');  // alone it would become an escape with what is decoded behind it
        } else {
            const char c = static_cast<char>(value);
            ambiguous = ambiguous || c == '/' || c == '\\' || c == ';' || value < 0x20 || value == 0x7f;
            if (is_unreserved(c))
                out += c;
            else
                append_escape(out, static_cast<unsigned char>(value));
            i += 2;
        }
    }
    return ambiguous;
}

/// RFC 3986 §5.2.4, with "//" made one, in place. True when there was anything to remove.
bool remove_dot_segments(std::string& path)
{
    bool removed = false;
    std::size_t end = 0;  // of what is written; it holds no "/" at its end while a segment is being judged
    for (std::size_t at = 0; at < path.size();) {
        const std::size_t next = std::min(path.find('/', at + 1), path.size());
        const std::string_view segment = std::string_view(path).substr(at + 1, next - at - 1);
        const bool last = next == path.size();
        const bool up = segment == "..";
        if (up || segment == "." || (segment.empty() && !last)) {
            removed = true;
            if (up) end = end == 0 ? 0 : path.rfind('/', end - 1);
            if (last) path[end++] = '/';  // "/a/b/.." is "/a/"
        } else {
            std::copy(path.begin() + static_cast<std::ptrdiff_t>(at), path.begin() + static_cast<std::ptrdiff_t>(next),
                      path.begin() + static_cast<std::ptrdiff_t>(end));
            end += next - at;
        }
        at = next;
    }
    path.resize(end);
    return removed;
}

}  // namespace

NormalPath normalise_path(std::string_view raw, std::string& scratch)
{
    if (!raw.starts_with('/')) return {PathForm::ambiguous, raw};
    if (is_plain_path(raw)) return {PathForm::normal, raw};
    scratch.clear();
    bool ambiguous = append_path_encoding(scratch, raw);
    ambiguous = remove_dot_segments(scratch) || ambiguous;
    if (ambiguous) return {PathForm::ambiguous, scratch};
    return {scratch == raw ? PathForm::normal : PathForm::normalised, scratch};
}

bool has_spellings(std::string_view path) noexcept
{
#ifdef __SSE2__
    if (holds_throughout(path, have_one_spelling)) return false;
#endif
    for (std::size_t i = 0; i < path.size(); ++i) {
        if (may_be_spelt_otherwise[static_cast<unsigned char>(path[i])]) return true;
        if (path[i] != '%') continue;
        const int value = escaped_byte(path, i);
        if (value >= 0 && may_be_spelt_otherwise[static_cast<unsigned char>(value)]) return true;
    }
    return false;
}

void append_normalised_encoding(std::string& out, std::string_view text)
{
    // With what is decoded behind it an invalid escape would become one: "%2%35" is not "%25".
    if (has_invalid_escape(text)) {
        out += text;
        return;
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int value = escaped_byte(text, i);
        if (value < 0) {
            out += text[i];
            continue;
        }
        if (is_unreserved(static_cast<char>(value)))
            out += static_cast<char>(value);
        else
            append_escape(out, static_cast<unsigned char>(value));
        i += 2;
    }
}

std::string percent_decode(std::string_view text)
{
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int value = escaped_byte(text, i);
        out += value < 0 ? text[i] : static_cast<char>(value);
        if (value >= 0) i += 2;
    }
    return out;
}

void split_query(std::string_view query, std::vector<Parameter>& parameters)
{
    for_each_parameter(query, [&](const Parameter& parameter) { parameters.push_back(parameter); });
}

std::string sorted_query(std::string_view query)
{
    std::string normal;
    append_normalised_encoding(normal, query);
    std::vector<Parameter> parameters;
    split_query(normal, parameters);
    std::stable_sort(parameters.begin(), parameters.end(),
                     [](const Parameter& a, const Parameter& b) { return a.name < b.name; });
    std::string sorted;
    sorted.reserve(normal.size());
    for (const Parameter& parameter : parameters) {
        if (!sorted.empty()) sorted += '&';
        sorted += parameter.name;
        if (parameter.has_value) (sorted += '=') += parameter.value;
    }
    return sorted;
}

std::string decode_parameter(std::string_view raw)
{
    std::string spaced(raw);
    std::replace(spaced.begin(), spaced.end(), '+', ' ');
    return percent_decode(spaced);
}

bool parameter_is(std::string_view raw, std::string_view text)
{
    if (raw.find_first_of("%+") == std::string_view::npos) return raw == text;
    return decode_parameter(raw) == text;
}

}  // namespace larder::rules
