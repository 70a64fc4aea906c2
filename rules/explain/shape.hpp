// What the keys or purges of a template can look like: each value stands for a run of characters. For explain and lint.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rules/key/cache_key.hpp"
#include "rules/pattern/template.hpp"

namespace larder::rules {

/// As a pattern that anybody can read: the template with `*` for each value.
inline std::string shape_of(const Template& text)
{
    std::string shape;
    for (const TemplatePart& part : text.parts) {
        if (part.source == Source::literal)
            shape += part.name;
        else if (part.source == Source::path)
            shape += "/*";
        else if (!shape.ends_with('*'))
            shape += '*';
    }
    return shape;
}

/// A set of keys. It knows what a pattern cannot say: values are escaped, so that they never contain ":".
class Shape {
  public:
    Shape() = default;
    /// All that the template can make.
    /// @param widened  a purge template's values may be missing: `*` stands for them, and takes ":" too. A value of the
    ///                 path never widens: without it the pattern is left out.
    explicit Shape(const Template& text, bool widened = false);
    /// All keys of a cache rule: a segment of the path holds no "/" either.
    explicit Shape(const Rule& rule);
    explicit Shape(const PurgeTarget& target);
    static Shape of_key(std::string_view key);

    /// Is there a key in both? Never says no when there is one.
    bool overlaps(const Shape& other) const;
    /// Does some value that can be missing change what it covers?
    static bool can_widen(const TemplatePart& part) noexcept;

  private:
    struct Token {
        enum class Kind : unsigned char { byte, any_byte, segment, value, any_run } kind = Kind::byte;
        char byte = 0;
        bool is_run() const noexcept { return kind >= Kind::segment; }
    };
    static bool may_be_same(const Token& a, const Token& b) noexcept;
    static bool takes(const Token& run, const Token& token) noexcept;
    void add(Token::Kind kind, char byte = 0);
    void add(const TemplatePart& part, bool widened);

    std::vector<Token> tokens_;
};

}  // namespace larder::rules
