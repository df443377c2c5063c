#![no_main]

trunkline_fuzz::target!(sdk);
