#include "rules/base/errors.hpp"

#include <string>

namespace larder::rules {

std::string_view word(Errc e) noexcept
{
    switch (e) {
    case Errc::ok: return "ok";
#define X(name, blame, text) \
    case Errc::name: return #name;
        LARDER_ERRORS(X)
#undef X
    }
    return "unknown";
}

std::string_view text(Errc e) noexcept
{
    switch (e) {
    case Errc::ok: return "no error";
#define X(name, blame, text) \
    case Errc::name: return text;
        LARDER_ERRORS(X)
#undef X
    }
    return "unknown error";
}

Blame blame(Errc e) noexcept
{
    switch (e) {
    case Errc::ok: return Blame::operator_;
#define X(name, blame, text) \
    case Errc::name: return Blame::blame;
        LARDER_ERRORS(X)
#undef X
    }
    return Blame::operator_;
}

const boost::system::error_category& error_category() noexcept
{
    class Category final : public boost::system::error_category {
      public:
        const char* name() const noexcept override { return "larder"; }
        std::string message(int value) const override { return std::string(text(static_cast<Errc>(value))); }
    };
    static const Category category;
    return category;
}

}  // namespace larder::rules
