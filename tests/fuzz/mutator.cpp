#include "mutator.hpp"

#include <algorithm>
#include <stdexcept>

#include "input.hpp"

namespace larder::fuzz {

namespace {

using namespace std::string_view_literals;

constexpr std::size_t largest_input = 16 * 1024;
// Bytes that mean something in some syntax here.
constexpr auto telling_bytes = "\0\t\n\r !\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xa0\xc3\xff"sv;
constexpr std::string_view telling_numbers[] = {
    "0",
    "1",
    "-1",
    "00",
    "127",
    "255",
    "256",
    "16383",
    "16384",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "2147483649",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "999999999999999",
    "1000000000000000",
    "0.001",
    "1.5",
    "7fffffffffffffff",
    "ffffffffffffffff",
    "10000000000000000",
};

struct Range {
    std::size_t at, size;
};

class Changes {
  public:
    Changes(const std::vector<std::string>& seeds, const std::vector<std::string>& words, Chance& chance)
        : seeds_(seeds), words_(words), chance_(chance), text_(any(seeds))
    {
    }

    std::string run()
    {
        std::size_t count = 1;
        while (count < 12 && !chance_.one_in(3)) ++count;
        for (std::size_t i = 0; i < count; ++i) change();
        if (text_.size() > largest_input) text_.resize(largest_input);
        return std::move(text_);
    }

  private:
    template <class T>
    const T& any(const std::vector<T>& list)
    {
        return list[chance_.below(list.size())];
    }
    std::size_t place() { return chance_.below(text_.size() + 1); }
    char telling_byte() { return telling_bytes[chance_.below(telling_bytes.size())]; }
    /// A part of a text, mostly short.
    Range part(const std::string& of)
    {
        const std::size_t at = chance_.below(of.size() + 1);
        const std::size_t most = chance_.one_in(4) ? of.size() : std::size_t{16};
        return {at, std::min(chance_.below(most + 1), of.size() - at)};
    }
    /// A whole line with its end.
    Range line(const std::string& of)
    {
        const std::size_t inside = chance_.below(of.size() + 1);
        const std::size_t before = inside == 0 ? std::string::npos : of.rfind('\n', inside - 1);
        const std::size_t at = before == std::string::npos ? 0 : before + 1;
        const std::size_t end = of.find('\n', at);
        return {at, (end == std::string::npos ? of.size() : end + 1) - at};
    }

    void change()
    {
        switch (chance_.below(18)) {
        case 0:
            if (!text_.empty()) text_[chance_.below(text_.size())] ^= static_cast<char>(1u << chance_.below(8));
            break;
        case 1:
            if (!text_.empty()) text_[chance_.below(text_.size())] = static_cast<char>(chance_.below(256));
            break;
        case 2:
            if (!text_.empty()) text_[chance_.below(text_.size())] = telling_byte();
            break;
        case 3: text_.insert(place(), 1, telling_byte()); break;
        case 4:
        case 5:
            if (!words_.empty()) text_.insert(place(), any(words_));
            break;
        case 6:
            if (!words_.empty()) replace(part(text_), any(words_));
            break;
        case 7: replace(part(text_), {}); break;
        case 8: {
            const Range copied = part(text_);
            text_.insert(place(), text_.substr(copied.at, copied.size));
            break;
        }
        case 9:
            if (chance_.one_in(3)) text_.resize(place());
            break;
        case 10: {
            const std::string& other = any(seeds_);
            text_.resize(place());
            text_ += other.substr(chance_.below(other.size() + 1));
            break;
        }
        case 11: {
            const std::string& other = any(seeds_);
            const Range piece = part(other);
            text_.insert(place(), other.substr(piece.at, piece.size));
            break;
        }
        case 12: change_number(); break;
        case 13: repeat(); break;
        case 14:
            if (!text_.empty()) text_[chance_.below(text_.size())] ^= 0x20;
            break;
        case 15: percent_encode(); break;
        case 16: {  // a line here twice, or also elsewhere
            const Range copied = line(text_);
            const std::string copy = text_.substr(copied.at, copied.size);
            text_.insert(line(text_).at, copy);
            break;
        }
        case 17: {
            const std::string& other = any(seeds_);
            const Range copied = line(other);
            text_.insert(line(text_).at, other.substr(copied.at, copied.size));
            break;
        }
        default: break;
        }
        if (text_.size() > largest_input) text_.resize(largest_input);
    }

    void replace(Range range, std::string_view with) { text_.replace(range.at, range.size, with); }

    void change_number()
    {
        const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
        const auto from = text_.begin() + static_cast<std::ptrdiff_t>(place());
        auto begin = std::find_if(from, text_.end(), is_digit);
        if (begin == text_.end()) begin = std::find_if(text_.begin(), text_.end(), is_digit);
        if (begin == text_.end()) return;
        const auto end = std::find_if_not(begin, text_.end(), is_digit);
        const Range digits{static_cast<std::size_t>(begin - text_.begin()), static_cast<std::size_t>(end - begin)};
        if (chance_.one_in(2))
            replace(digits, std::to_string(chance_.below(100)));
        else
            replace(digits, telling_numbers[chance_.below(std::size(telling_numbers))]);
    }

    void repeat()
    {
        const Range copied = part(text_);
        const std::string copy =
            copied.size == 0 ? std::string(1, telling_byte()) : text_.substr(copied.at, copied.size);
        const std::size_t most = chance_.one_in(16) ? 4000 : 40;
        std::string run;
        for (std::size_t left = 1 + chance_.below(most); left > 0 && run.size() < largest_input; --left) run += copy;
        text_.insert(place(), run);
    }

    void percent_encode()
    {
        if (text_.empty()) return;
        const std::size_t at = chance_.below(text_.size());
        const auto byte = static_cast<unsigned char>(text_[at]);
        const std::string_view digits = chance_.one_in(2) ? "0123456789ABCDEF" : "0123456789abcdef";
        const char escape[] = {'%', digits[byte >> 4], digits[byte & 15]};
        text_.replace(at, 1, escape, 3);
    }

    const std::vector<std::string>& seeds_;
    const std::vector<std::string>& words_;
    Chance& chance_;
    std::string text_;
};

int hex_digit(char c)
{
    const int value = rules::hex_value(c);
    if (value < 0) throw std::runtime_error("no hex digit behind \\x");
    return value;
}

}  // namespace

Mutator::Mutator(std::vector<std::string> seeds, std::vector<std::string> words)
    : seeds_(std::move(seeds)), words_(std::move(words))
{
    if (seeds_.empty()) throw std::runtime_error("there are no seeds");
}

std::string Mutator::make(std::uint64_t number) const
{
    Chance chance(number);
    return Changes(seeds_, words_, chance).run();
}

std::vector<std::string> read_dictionary(std::string_view text)
{
    std::vector<std::string> words;
    while (!text.empty()) {
        std::string_view line = rules::trim(take_line(text));
        if (line.empty() || line.front() == '#') continue;
        const std::size_t open = line.find('"');
        if (open == std::string_view::npos || line.size() < open + 2 || line.back() != '"')
            throw std::runtime_error("no dictionary line: " + std::string(line));
        line = line.substr(open + 1, line.size() - open - 2);
        std::string word;
        for (std::size_t i = 0; i < line.size(); ++i) {
            if (line[i] != '\\') {
                word += line[i];
            } else if (i + 3 < line.size() && line[i + 1] == 'x') {
                word += static_cast<char>(hex_digit(line[i + 2]) * 16 + hex_digit(line[i + 3]));
                i += 3;
            } else if (i + 1 < line.size()) {
                word += line[++i];
            }
        }
        words.push_back(std::move(word));
    }
    return words;
}

}  // namespace larder::fuzz
