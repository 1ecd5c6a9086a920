//! Points in time as the protocol writes them (XEP-0082, a profile of RFC 3339): `2026-11-26T09:30:00.123Z`.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer};

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;
/// Four centuries, after which the calendar begins anew.
const ERA: u64 = 146_097;
/// From 0000-03-01, where a year begins whose leap day is its last, to the Unix epoch.
const DAYS_BEFORE_EPOCH: u64 = 719_468;
/// The last moment of the year 9999: there are no more digits.
const LAST: u64 = 253_402_300_799_999;

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub u64);

impl Moment {
    /// This moment. A clock that is set before 1970 shows the beginning of that year.
    pub fn now() -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_millis()).unwrap_or(LAST))
    }
}

/// How it is written, every digit to be filled in.
const FORM: [u8; 24] = *b"0000-00-00T00:00:00.000Z";

impl Moment {
    /// The characters of the text, all ASCII. One is in nearly every answer, and formatting is slow.
    pub fn digits(self) -> [u8; FORM.len()] {
        let moment = self.0.min(LAST);
        let (year, month, day) = date(moment / DAY);
        let (second, fraction) = (moment % DAY / SECOND, moment % SECOND);
        let mut text = FORM;
        let numbers = [
            (0..4, year),
            (5..7, month),
            (8..10, day),
            (11..13, second / 3600),
            (14..16, second / 60 % 60),
            (17..19, second % 60),
            (20..23, fraction),
        ];
        for (place, mut number) in numbers {
            for digit in text[place].iter_mut().rev() {
                *digit += (number % 10) as u8;
                number /= 10;
            }
        }
        text
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(std::str::from_utf8(&self.digits()).expect("digits are ASCII"))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.digits()).expect("digits are ASCII"))
    }
}

/// Year, month and day of the Gregorian calendar. Counted from March, the months before any day of a year are 153 days for
/// each five of them.
fn date(days_since_epoch: u64) -> (u64, u64, u64) {
    let days = days_since_epoch + DAYS_BEFORE_EPOCH;
    let (era, day_of_era) = (days / ERA, days % ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / (ERA - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected texts are those of `date --utc --date=@SECONDS +%FT%T`.
    #[test]
    fn moments_are_written_in_utc() {
        for (moment, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_001, "2000-02-28T23:59:59.001Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_685_400_120, "2026-11-26T09:30:00.120Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Moment(moment).to_string(), text);
        }
    }

    /// Each day is the one after the day before, for more than an era.
    #[test]
    fn no_day_is_left_out() {
        let mut last = date(0);
        for day in 1..150_000 {
            let (year, month, day) = date(day);
            let is_next = match last {
                (y, 12, 31) => (year, month, day) == (y + 1, 1, 1),
                (y, m, d) => (year, month, day) == (y, m, d + 1) || (d >= 28 && (year, month, day) == (y, m + 1, 1)),
            };
            assert!(is_next, "{last:?} {year}-{month}-{day}");
            last = (year, month, day);
        }
    }
}
