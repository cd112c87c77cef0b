# The gems that came with the interpreter are found behind those of the package and the layers, as on AWS. Where
# GEM_PATH is set, Debian's Ruby would look for them in its own directory for additional gems only.
# frozen_string_literal: true

Gem.paths = ENV.to_h.merge('GEM_PATH' => (Gem.path + Gem.default_path).uniq.join(':')) if defined?(Gem)
