// No input ends the process, takes long, or is half accepted.
#include <algorithm>
#include <random>

#include "config/yaml_reader.hpp"
#include "support.hpp"

namespace larder::config {

TEST_CASE("text that is no configuration is an error and nothing worse")
{
    std::string billion = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
    for (int i = 1; i < 12; ++i) {
        const std::string last = "*a" + std::to_string(i - 1);
        billion += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
        for (int j = 0; j < 9; ++j) billion += "," + last;
        billion += "]\n";
    }
    const std::string inputs[] = {
        std::string("\0\0\0", 3),
        std::string("upstream: a\0b", 13),
        "\xFF\xFE"
        "u\0p\0",
        "\xC3\x28",
        "\xED\xA0\x80",
        std::string(100'000, '['),
        std::string(100'000, '{'),
        std::string(100'000, '-'),
        std::string(5'000, '\t'),
        "&a [*a]",
        "? : ? :",
        "{? {a: b} : c}",
        "!!binary aGVsbG8=",
        "!<tag:x> {a: b}",
        "%TAG ! tag:x,2000:\n---\na: !y b",
        "- - - - a",
        "a: |\n  b\n c",
        "a: >9\n  b",
        "\"\\x41\\uD800\"",
        "--- --- ---",
        "...",
        "!",
        "&",
        "*",
        "'",
        "\"",
        "a: !",
        "a: &",
        "<<: {a: b}",
        "~: b",
        "[a]: b",
        "upstream: !!null",
        "rules: {}",
        "rules: [[]]",
        "rules: [null, 1, {}]",
        "timeouts: []",
        "store: {}",
        "upstream: {}",
        "? upstream",
        "match: {match: {}}",
        billion,
    };
    for (const std::string& input : inputs) {
        CAPTURE(input.substr(0, 60));
        const Loaded loaded = load_text(input, "f", environment_of({}));
        CHECK(loaded.config == nullptr);
        CHECK_FALSE(loaded.messages.empty());
    }
}

TEST_CASE("a position counts characters, and a UTF-8 mark at the begin does not count")
{
    const std::string text = "\xEF\xBB\xBF# \xC3\xA9\nupstream: http://a\nlog: {level: '\xC3\xA9', format: xml}\n";
    CHECK(contains(load_broken(text), "f:3:27: log.format"));
    CHECK(contains(load_broken("a: \"\\x"), "f:1:7: this is not YAML"));
}

TEST_CASE("an alias stands for its value, and a name given twice is an error in every mapping")
{
    const auto config =
        load_fine("upstream: http://a\ntimeouts: {client_head: &t 5s, drain: *t}\ncache: respect-origin\n");
    CHECK(config->timeouts.drain == std::chrono::seconds(5));
    CHECK(contains(load_broken("upstream: http://a\nlog: {level: info, level: warn}\n"),
                   "f:2:20: \"level\" stands here twice"));
}

TEST_CASE("messages are in the order of the file, also when it is no YAML or has nothing in it")
{
    for (const char* text : {"upstream:\nupstream\n3", "---\n...\nupstream"}) {
        const Loaded loaded = load_text(text, "f", environment_of({}));
        CHECK(loaded.config == nullptr);
        CHECK(loaded.messages.size() == 2);
        CHECK(std::is_sorted(loaded.messages.begin(), loaded.messages.end(), [](const Message& a, const Message& b) {
            return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
        }));
    }
}

TEST_CASE("configurations with random damage load or fail with messages")
{
    std::vector<std::string> seeds;
    for (const char* folder : {"deploy/examples", "config/examples", "tests/config_broken"})
        for (const auto& path : files_in(folder)) seeds.push_back(read_all(path));
    std::mt19937 random(7);
    const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
    const std::string bytes = "{}[]:,&*!|>'\"%@`#-?\n\t $~<=\\abc019\xC3\xA9/";
    for (int round = 0; round < 1500; ++round) {
        std::string text = seeds[below(seeds.size())];
        for (std::size_t i = 0, damages = 1 + below(6); i < damages && !text.empty(); ++i) {
            const std::size_t at = below(text.size());
            switch (below(4)) {
            case 0: text[at] = bytes[below(bytes.size())]; break;
            case 1: text.insert(at, 1, bytes[below(bytes.size())]); break;
            case 2: text.erase(at, 1 + below(8)); break;
            case 3: text.insert(at, text.substr(below(text.size()), below(40))); break;
            }
        }
        const Loaded loaded = load_text(text, "f", environment_of({}));
        if (loaded.config == nullptr) CHECK_FALSE(loaded.messages.empty());
    }
}

}  // namespace larder::config
