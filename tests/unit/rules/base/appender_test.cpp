#include "rules/base/appender.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>

using larder::rules::Appender;

TEST_CASE("an appender leaves what a string that is appended to piece by piece has")
{
    std::mt19937 random(7);
    for (int round = 0; round < 3000; ++round) {
        std::string expected(random() % 40, 'a'), text = expected;
        {
            Appender out(text, random() % 200);  // too little, too: it grows
            for (int pieces = static_cast<int>(random() % 12); pieces > 0; --pieces) {
                std::string piece(random() % 70, ' ');
                for (char& c : piece) c = static_cast<char>(random());
                switch (random() % 4) {
                case 0: expected += piece, out += std::string_view(piece); break;
                case 1: expected += piece + ": " + piece + "\r\n", out.add_field(piece, piece); break;
                case 2: {
                    const std::uint64_t number = random() % 2 == 0 ? random() : UINT64_MAX - random();
                    expected += std::to_string(number);
                    out += number;
                    break;
                }
                default: expected += "HTTP/1.1 ;", out += "HTTP/1.1 ", out += ';'; break;
                }
            }
        }
        CAPTURE(round);
        REQUIRE(text == expected);
    }
}

TEST_CASE("an appender that is given room keeps the memory that the string has")
{
    std::string text;
    text.reserve(100);
    const std::size_t before = text.capacity();
    {
        Appender out(text, 100);
        out += "name";
        out.add_field("", "");
    }
    CHECK(text == "name: \r\n");
    CHECK(text.capacity() == before);
}
