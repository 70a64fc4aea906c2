// Seeds → inputs that are nearly valid. Deterministic: the same number gives the same input.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace larder::fuzz {

class Mutator {
  public:
    /// @param seeds  at least one
    /// @param words  of the syntax, to be put in anywhere
    Mutator(std::vector<std::string> seeds, std::vector<std::string> words);

    /// One to some ten changes of one seed: bits, bytes, words, numbers, ranges, lines, pieces of other seeds.
    std::string make(std::uint64_t number) const;

  private:
    std::vector<std::string> seeds_, words_;
};

/// The words of a dictionary in libFuzzer's form: lines `name="word"` or `"word"`, with \\ \" \xNN; `#` begins a
/// comment. Throws std::runtime_error for a line that is neither.
std::vector<std::string> read_dictionary(std::string_view text);

}  // namespace larder::fuzz
