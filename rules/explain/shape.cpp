#include "rules/explain/shape.hpp"

#include <algorithm>

namespace larder::rules {

void Shape::add(Token::Kind kind, char byte)
{
    const Token token{kind, byte};
    if (token.is_run() && !tokens_.empty() && tokens_.back().is_run())
        tokens_.back().kind = std::max(tokens_.back().kind, kind);  // two runs side by side are one
    else
        tokens_.push_back(token);
}

bool Shape::can_widen(const TemplatePart& part) noexcept
{
    switch (part.source) {
    case Source::query_value:
    case Source::header:
    case Source::cookie:
    case Source::query:
    case Source::body:
    case Source::response_header: return true;
    default: return false;
    }
}

void Shape::add(const TemplatePart& part, bool widened)
{
    if (part.source == Source::literal)
        for (const char c : part.name) add(Token::Kind::byte, c);
    else if (part.source == Source::wildcard || (widened && can_widen(part)))
        add(Token::Kind::any_run);
    else if (part.source == Source::path)
        add(Token::Kind::byte, '/'), add(Token::Kind::value);
    else
        add(Token::Kind::value);
}

Shape::Shape(const Template& text, bool widened)
{
    for (const TemplatePart& part : text.parts) add(part, widened);
}

Shape::Shape(const Rule& rule)
{
    const auto& segments = rule.match.segments;
    for (const TemplatePart& part : (rule.key ? *rule.key : default_key()).parts) {
        // A path with an encoded "/" is ambiguous, so that nothing is stored for it.
        const bool is_segment =
            part.source == Source::path_value &&
            std::any_of(segments.begin(), segments.end(), [&](const PathSegment& segment) {
                return segment.text == part.name &&
                       (segment.kind == PathSegment::Kind::value || segment.kind == PathSegment::Kind::optional_value);
            });
        if (is_segment && !part.fallback)
            add(Token::Kind::segment);
        else
            add(part, false);
    }
}

Shape::Shape(const PurgeTarget& target)
{
    const std::string_view text = target.text;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (!target.exact && text[i] == '*')
            add(Token::Kind::any_run);
        else if (!target.exact && text[i] == '?')
            add(Token::Kind::any_byte);
        else if (!target.exact && text[i] == '\\' && i + 1 < text.size())
            add(Token::Kind::byte, text[++i]);
        else
            add(Token::Kind::byte, text[i]);
    }
}

Shape Shape::of_key(std::string_view key)
{
    PurgeTarget exact;
    exact.text = key;
    return Shape(exact);
}

bool Shape::may_be_same(const Token& a, const Token& b) noexcept
{
    return a.kind == Token::Kind::any_byte || b.kind == Token::Kind::any_byte || a.byte == b.byte;
}

bool Shape::takes(const Token& run, const Token& token) noexcept
{
    if (token.kind != Token::Kind::byte || run.kind == Token::Kind::any_run) return true;
    return token.byte != ':' && (token.byte != '/' || run.kind != Token::Kind::segment);
}

bool Shape::overlaps(const Shape& other) const
{
    const std::vector<Token>&a = tokens_, &b = other.tokens_;
    // What both begin and end with needs no table, and most pairs differ there already.
    std::size_t from = 0;
    while (from < a.size() && from < b.size() && !a[from].is_run() && !b[from].is_run()) {
        if (!may_be_same(a[from], b[from])) return false;
        ++from;
    }
    for (std::size_t back = 1; back <= a.size() - from && back <= b.size() - from; ++back) {
        const Token &last_a = a[a.size() - back], &last_b = b[b.size() - back];
        if (last_a.is_run() || last_b.is_run()) break;
        if (!may_be_same(last_a, last_b)) return false;
    }

    // Above this the table is not worth its time, and "maybe" is an allowed answer.
    constexpr std::size_t largest_table = std::size_t{1} << 24;
    if ((a.size() + 1) * (b.size() + 1) > largest_table) return true;

    // here[j]: some text fits the first i tokens of `a` and the first j of `b`.
    std::vector<char> here(b.size() + 1, 0), below(b.size() + 1, 0);
    here[from] = 1;
    for (std::size_t i = from;; ++i) {
        std::fill(below.begin(), below.end(), 0);
        for (std::size_t j = from; j <= b.size(); ++j) {
            if (!here[j]) continue;
            const Token* from_a = i < a.size() ? &a[i] : nullptr;
            const Token* from_b = j < b.size() ? &b[j] : nullptr;
            const bool run_a = from_a && from_a->is_run(), run_b = from_b && from_b->is_run();
            if (run_a || (run_b && from_a && takes(*from_b, *from_a))) below[j] = 1;
            if (run_b || (run_a && from_b && takes(*from_a, *from_b))) here[j + 1] = 1;
            if (from_a && from_b && !run_a && !run_b && may_be_same(*from_a, *from_b)) below[j + 1] = 1;
        }
        if (i == a.size()) return here[b.size()] != 0;
        std::swap(here, below);
    }
}

}  // namespace larder::rules
