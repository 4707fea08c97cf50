//! Word lists from which copies are made. Data only.

/// Singular and plural of nouns that can stand for one another, in the order in which they change places.
pub(super) const NOUNS: &[&[(&str, &str)]] = &[
    &[
        ("thermostat", "thermostats"),
        ("dimmer", "dimmers"),
        ("barometer", "barometers"),
        ("projector", "projectors"),
    ],
    &[
        ("pump", "pumps"),
        ("winch", "winches"),
        ("kiln", "kilns"),
        ("lathe", "lathes"),
        ("turbine", "turbines"),
    ],
    &[("softener", "softeners"), ("roaster", "roasters"), ("grinder", "grinders"), ("blender", "blenders")],
    &[("cartridge", "cartridges"), ("spool", "spools"), ("canister", "canisters"), ("magazine", "magazines")],
    &[("filter", "filters"), ("grille", "grilles"), ("lens", "lenses"), ("belt", "belts")],
    &[("boiler", "boilers"), ("furnace", "furnaces"), ("smelter", "smelters"), ("dryer", "dryers")],
    &[("hub", "hubs"), ("console", "consoles"), ("cradle", "cradles"), ("dock", "docks")],
    &[("valve", "valves"), ("hinge", "hinges"), ("lever", "levers"), ("pedal", "pedals")],
    &[("customer", "customers"), ("subscriber", "subscribers"), ("patron", "patrons"), ("client", "clients")],
    &[
        ("technician", "technicians"),
        ("mechanic", "mechanics"),
        ("fitter", "fitters"),
        ("surveyor", "surveyors"),
    ],
    &[("kitchen", "kitchens"), ("cellar", "cellars"), ("bathroom", "bathrooms"), ("garage", "garages")],
];

/// Words without a plural that can stand for one another.
pub(super) const OTHERS: &[&[&str]] = &[
    &["red", "green", "blue", "yellow", "brown", "purple", "pink"],
    &["copper", "steel", "brass", "zinc", "tin"],
    &["north", "south", "east", "west"],
    &["salt", "sand", "gravel", "chalk"],
];

/// Months. May is not among them: the word is mostly a verb.
pub(super) const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Days of the week.
pub(super) const WEEKDAYS: &[&str] =
    &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Consonants and vowels whose pairs begin and fill a name.
pub(super) const CONSONANTS: &[u8; 16] = b"bcdfghklmnprstvz";
/// The vowels.
pub(super) const VOWELS: &[u8; 5] = b"aeiou";

/// How a name ends. None ends like another one, so that a name is read in one way only.
pub(super) const ENDS: &[&str] = &[
    "wick", "ley", "den", "ton", "mere", "stow", "bury", "gate", "ham", "ness", "lock", "worth", "combe",
    "field", "vane", "rick", "sey", "dale", "ford", "hurst", "thorpe", "stead", "wold", "garth",
];

/// Number words below twenty, by value.
pub(super) const BELOW_TWENTY: &[&str] = &[
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

/// The tens, by their first digit.
pub(super) const TENS: &[&str] =
    &["", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// Ordinals below twenty, by value.
pub(super) const ORDINALS: &[&str] = &[
    "zeroth",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];

/// Ordinals of the tens, by their first digit.
pub(super) const TENTHS: &[&str] = &[
    "",
    "tenth",
    "twentieth",
    "thirtieth",
    "fortieth",
    "fiftieth",
    "sixtieth",
    "seventieth",
    "eightieth",
    "ninetieth",
];
