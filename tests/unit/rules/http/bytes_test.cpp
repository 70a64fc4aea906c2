// The steps of many bytes against one byte at a time.
#include "rules/http/bytes.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <string>

namespace {

using namespace larder::rules;

/// What a scanner is there for, said plainly.
struct OneByOne {
    static const char* skip_token(const char* at, const char* end) { return skip(token_byte, at, end); }
    static const char* skip_target(const char* at, const char* end) { return skip(target_byte, at, end); }
    static const char* find_control(const char* at, const char* end)
    {
        while (at != end && static_cast<unsigned char>(*at) >= 0x20 && *at != 0x7f) ++at;
        return at;
    }
};

template <class Bytes>
void check_same(std::string_view text)
{
    // Memory that ends with the text, so that a sanitizer sees any step beyond it.
    const auto memory = std::make_unique<char[]>(text.size());
    std::copy(text.begin(), text.end(), memory.get());
    const char *const begin = memory.get(), *const end = begin + text.size();
    CHECK(Bytes::skip_token(begin, end) - begin == OneByOne::skip_token(begin, end) - begin);
    CHECK(Bytes::skip_target(begin, end) - begin == OneByOne::skip_target(begin, end) - begin);
    CHECK(Bytes::find_control(begin, end) - begin == OneByOne::find_control(begin, end) - begin);
}

template <class Bytes>
void check_all()
{
    for (int byte = 0; byte < 256; ++byte) {
        CAPTURE(byte);
        for (const std::size_t size : {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 90}) {
            for (std::size_t place = 0; place < size; ++place) {
                std::string text(size, 'x');
                text[place] = static_cast<char>(byte);
                check_same<Bytes>(text);
            }
        }
    }
    std::mt19937 random(20);
    for (int i = 0; i < 20000; ++i) {
        std::string text(random() % 100, ' ');
        for (char& c : text) c = static_cast<char>(random() % 16 == 0 ? random() % 256 : '!' + random() % 90);
        CAPTURE(text);
        check_same<Bytes>(text);
    }
}

}  // namespace

TEST_CASE("a token, a target and a value end at the same byte however many are looked at in a step")
{
    check_all<UsualBytes>();
#if defined(__x86_64__)
    if (has_avx2())
        check_all<Avx2Bytes>();
    else
        MESSAGE("this processor has no AVX2");
#endif
}
